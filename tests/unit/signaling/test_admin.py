"""The HTTP routes through ASGI, on a service that records: grants, names, bodies, errors, CORS."""

from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock, create_autospec
from urllib.parse import quote

import httpx
import pytest

from sfu.core.clock import VirtualClock
from sfu.core.errors import ParticipantNotFoundError, RoomFullError, RoomNotFoundError
from sfu.core.ids import Identity, RoomName
from sfu.participants.permissions import Grant, Permissions
from sfu.participants.requests import ParticipantUpdate, RoomOptions
from sfu.service import Service
from sfu.settings.models import Settings
from sfu.telemetry.health import Health, ServerState
from sfu.telemetry.metrics import Metrics
from signaling.app import create_app
from signaling.auth import Authenticator, create_token
from signaling.connection import Connections
from signaling.edge import Edge
from tests.unit.signaling.test_native_encode import ADA, ROOM, TRACK

CLOCK = VirtualClock()
ADMIN = Grant(room=RoomName("standup"), room_admin=True)
SETTINGS = {"keys": {"devkey": "secret"}, "limits": {"api_body_bytes": 10_000}}
JSON = {"Content-Type": "application/json"}
"""Without it a body is not even tried."""
MUCH = Grant(room=RoomName("standup"), room_admin=True, room_list=True, room_create=True)


@pytest.fixture
def service() -> MagicMock:
    service: MagicMock = create_autospec(Service, instance=True)
    service.list_rooms.return_value = [ROOM]
    for method in (service.get_room, service.create_room, service.update_room_metadata):
        method.return_value = ROOM
    service.list_participants.return_value = [ADA]
    service.get_participant.return_value = ADA
    service.update_participant.return_value = ADA
    service.mute_track.return_value = TRACK
    service.participant_stats = AsyncMock(return_value={"transport": {"rtt_s": 0.01}})
    return service


@pytest.fixture
def health() -> Health:
    health = Health()
    health.enter(ServerState.READY)
    return health


@pytest.fixture
async def http(service: MagicMock, health: Health) -> AsyncIterator[httpx.AsyncClient]:
    edge = Edge(
        service=service,
        settings=Settings.model_validate(
            {"keys": {"devkey": "secret"}, "limits": {"api_body_bytes": 10_000}}
        ),
        clock=CLOCK,
        metrics=Metrics("1.2.3"),
        health=health,
        connections=Connections(),
        version="1.2.3",
        node="local",
        dev=True,
    )
    transport = httpx.ASGITransport(create_app(edge), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def bearer(grant: Grant) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token('devkey', 'secret', grant, now=CLOCK.wall())}"}


async def test_rooms_are_listed_with_their_numbers(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/rooms", headers=bearer(MUCH))
    room = answer.json()["rooms"][0]
    assert (room["name"], room["num_participants"], room["empty_timeout_s"]) == ("standup", 1, 300)


async def test_a_room_is_created_with_its_options(http: httpx.AsyncClient, service: MagicMock) -> None:
    body = {"name": "standup", "max_participants": 4, "empty_timeout_s": 5}
    answer = await http.post("/api/v1/rooms", json=body, headers=bearer(MUCH))
    assert answer.status_code == 200
    service.create_room.assert_called_once_with("standup", RoomOptions(empty_timeout_s=5, max_participants=4))


@pytest.mark.parametrize(
    ("method", "path", "body", "called"),
    [
        ("GET", "/rooms/standup", None, "get_room"),
        ("PATCH", "/rooms/standup", {"metadata": "m"}, "update_room_metadata"),
        ("DELETE", "/rooms/standup", None, "delete_room"),
        ("POST", "/rooms/standup/data", {"payload": "aGk=", "destinations": ["ada"]}, "send_data"),
        ("GET", "/rooms/standup/participants", None, "list_participants"),
        ("GET", "/rooms/standup/participants/ada", None, "get_participant"),
        ("PATCH", "/rooms/standup/participants/ada", {"name": "Ada"}, "update_participant"),
        ("DELETE", "/rooms/standup/participants/ada", None, "remove_participant"),
        ("GET", "/rooms/standup/participants/ada/stats", None, "participant_stats"),
        (
            "POST",
            "/rooms/standup/participants/ada/subscriptions",
            {"tracks": ["TR_1"], "subscribe": False},
            "update_subscriptions",
        ),
        ("PATCH", "/rooms/standup/participants/ada/tracks/TR_1", {"muted": True}, "mute_track"),
    ],
)
class TestEveryRoute:
    async def test_reaches_the_service_with_its_grant(
        self, http: httpx.AsyncClient, service: MagicMock, method: str, path: str, body: Any, called: str
    ) -> None:
        answer = await http.request(method, f"/api/v1{path}", json=body, headers=bearer(MUCH))
        assert answer.status_code in (200, 204)
        assert getattr(service, called).call_args.args[0] == "standup"

    async def test_is_refused_without_it(
        self, http: httpx.AsyncClient, service: MagicMock, method: str, path: str, body: Any, called: str
    ) -> None:
        other = bearer(Grant(room=RoomName("elsewhere"), room_admin=True, room_join=True))
        answer = await http.request(method, f"/api/v1{path}", json=body, headers=other)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        answer = await http.request(method, f"/api/v1{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert not getattr(service, called).called


async def test_a_token_in_the_query_is_not_taken(http: httpx.AsyncClient) -> None:
    token = create_token("devkey", "secret", MUCH, now=CLOCK.wall())
    assert (await http.get("/api/v1/rooms", params={"access_token": token})).status_code == 401


async def test_permissions_are_changed_one_by_one(http: httpx.AsyncClient, service: MagicMock) -> None:
    body = {"permissions": {"can_publish": False, "can_publish_sources": []}, "attributes": {"a": ""}}
    answer = await http.patch("/api/v1/rooms/standup/participants/ada", json=body, headers=bearer(ADMIN))
    assert answer.status_code == 200
    service.update_participant.assert_called_once_with(
        "standup",
        "ada",
        ParticipantUpdate(attributes={"a": ""}),
        Permissions(can_publish=False, can_publish_sources=None),
    )


@pytest.mark.parametrize("name", ["a/b", "..", "../../etc/passwd", "50 %", "é", "a?b#c", "__proto__"])
async def test_any_name_can_be_said_in_a_path(http: httpx.AsyncClient, service: MagicMock, name: str) -> None:
    grant = Grant(room=RoomName(name), room_admin=True)
    path = f"/api/v1/rooms/{quote(name, safe='').replace('.', '%2E')}/participants/{quote(name, safe='')}x"
    answer = await http.get(path, headers=bearer(grant))
    assert answer.status_code == 200
    service.get_participant.assert_called_once_with(name, name + "x")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RoomNotFoundError(RoomName("standup")), 404),
        (ParticipantNotFoundError(Identity("ada")), 404),
        (RoomFullError(RoomName("standup"), 1), 409),
        (ZeroDivisionError(), 500),
    ],
)
async def test_errors_have_one_form_and_cors(
    http: httpx.AsyncClient, service: MagicMock, error: Exception, status: int
) -> None:
    service.list_participants.side_effect = error
    headers = {**bearer(ADMIN), "Origin": "https://app.example"}
    answer = await http.get("/api/v1/rooms/standup/participants", headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message"}
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 9_000, 400),
        (b'{"name": "x", "nmae": 1}', 400),
        (b'{"name": "a\\u0000b"}', 400),
        (b'{"name": "\\ud800"}', 400),
        (b'{"name": ""}', 400),
        (b'{"name": "x", "empty_timeout_s": NaN}', 400),
        (b'{"name": "x", "max_participants": 1e999}', 400),
        (b'{"name": "' + b"x" * 9_000 + b'"}', 400),
        (b'{"name": "' + b"x" * 20_000 + b'"}', 413),
    ],
)
async def test_hostile_bodies_are_refused(
    http: httpx.AsyncClient, service: MagicMock, body: bytes, status: int
) -> None:
    answer = await http.post("/api/v1/rooms", content=body, headers=JSON | bearer(MUCH))
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message"}
    assert len(answer.content) < 1000
    assert not service.create_room.called


async def test_a_crowded_body_is_refused_by_count(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.json_bounds.MAX_VALUES", 1000)
    answer = await http.post(
        "/api/v1/rooms", content=b"[" + b"0," * 4000 + b"0]", headers=JSON | bearer(MUCH)
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "values" in answer.json()["message"]


async def test_nobody_without_a_token_makes_us_read_a_body(http: httpx.AsyncClient) -> None:
    pieces = iter([b"{}"])

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    answer = await http.post("/api/v1/rooms", content=body())
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert list(pieces) == [b"{}"]


async def test_a_body_of_unknown_length_is_cut_off(http: httpx.AsyncClient, service: MagicMock) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    answer = await http.post("/api/v1/rooms", content=endless(), headers=JSON | bearer(MUCH))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert not service.create_room.called


async def test_preflight_is_answered_for_any_path(http: httpx.AsyncClient) -> None:
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = await http.options("/rtc/v1/validate", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-max-age"] == "86400"
    refused = await http.get("/rtc/v1/validate", headers=headers)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
    missing = await http.get("/rtc/v2/validate", headers=headers)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.headers["access-control-allow-origin"] == "*"


async def test_health_and_readiness_follow_the_state(http: httpx.AsyncClient, health: Health) -> None:
    assert (await http.get("/readyz")).status_code == 200
    health.enter(ServerState.DRAINING)
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["state"]) == (503, "draining")
    assert (await http.get("/healthz")).status_code == 200


async def test_metrics_hold_ours_and_the_requests_seen(http: httpx.AsyncClient) -> None:
    await http.get("/api/v1/rooms", headers=bearer(MUCH))
    text = (await http.get("/metrics")).text
    assert 'airside_build{version="1.2.3"} 1.0' in text
    assert 'airside_http_request_seconds_count{method="GET",status="2xx"} 1.0' in text


async def test_the_page_and_the_client_are_served(http: httpx.AsyncClient) -> None:
    assert "<html" in (await http.get("/")).text
    assert (await http.get("/client/airside.js")).headers["content-type"].startswith("text/javascript")
    assert (await http.get("/demo/%2e%2e/%2e%2e/__init__.py")).status_code == 404


async def test_dev_hands_out_tokens_that_join(http: httpx.AsyncClient) -> None:
    answer = await http.get("/dev/token", params={"room": "standup", "identity": "ada"})
    token = Authenticator({"devkey": "secret"}).verify(answer.json()["token"], CLOCK.wall())
    assert (token.identity, token.grant.require_join()) == ("ada", "standup")
    assert (await http.get("/dev/token", params={"room": "", "identity": "a"})).status_code == 400
    assert (await http.get("/dev/token")).status_code == 400


async def test_openapi_describes_every_route(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/api/v1/openapi.json")).json()
    assert set(schema["paths"]["/api/v1/rooms/{room}/participants/{identity}"]) == {"get", "patch", "delete"}
    problem = schema["paths"]["/api/v1/rooms"]["get"]["responses"]["401"]
    assert problem["content"]["application/json"]["schema"]["$ref"].endswith("Problem")
