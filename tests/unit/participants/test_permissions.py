import pytest

from sfu.core.codecs import TrackSource
from sfu.core.errors import InvalidRequestError, PermissionDeniedError
from sfu.core.ids import RoomName
from sfu.participants.permissions import Grant, Permissions, sources_from_names

CAMERA, MICROPHONE = TrackSource.CAMERA, TrackSource.MICROPHONE


class TestAbsentAndFalse:
    @pytest.mark.parametrize(
        ("claims", "publish", "subscribe", "data"),
        [
            ({}, True, True, True),
            ({"canPublish": True}, True, True, True),
            ({"canPublish": False}, False, True, False),
            ({"canPublish": False, "canPublishData": True}, False, True, True),
            ({"canPublish": True, "canPublishData": False}, True, True, False),
            ({"canSubscribe": False}, True, False, True),
            ({"canPublish": None, "canPublishData": None}, True, True, True),
        ],
    )
    def test_can(self, claims: dict[str, object], publish: bool, subscribe: bool, data: bool) -> None:
        permissions = Grant.from_claims(claims).permissions()
        assert permissions.can_publish is publish
        assert permissions.can_subscribe is subscribe
        assert permissions.can_publish_data is data

    def test_everything_else_is_off_when_absent(self) -> None:
        assert Grant.from_claims({}) == Grant()
        assert Grant().permissions() == Permissions()
        assert Grant.from_claims({"roomJoin": False, "hidden": False}) == Grant()


class TestSources:
    def test_empty_list_means_all(self) -> None:
        assert Grant.from_claims({"canPublishSources": []}).permissions().may_publish(CAMERA)

    def test_list_restricts(self) -> None:
        permissions = Grant.from_claims({"canPublishSources": ["Microphone"]}).permissions()
        assert permissions.may_publish(MICROPHONE)
        assert not permissions.may_publish(CAMERA)
        assert not permissions.may_publish(TrackSource.UNKNOWN)

    def test_list_of_unknown_names_allows_nothing(self) -> None:
        permissions = Grant.from_claims({"canPublishSources": ["hologram", "unknown"]}).permissions()
        assert not any(permissions.may_publish(source) for source in TrackSource)

    def test_names(self) -> None:
        assert sources_from_names([]) is None
        assert sources_from_names(["camera", "x"]) == frozenset({CAMERA})


class TestRequire:
    def test_publish_names_what_is_missing(self) -> None:
        for permissions, claim in (
            (Permissions(can_publish=False), "canPublish"),
            (Permissions(can_publish_sources=frozenset()), "canPublishSources"),
            (Permissions(hidden=True), "hidden"),
        ):
            with pytest.raises(PermissionDeniedError, match=claim):
                permissions.require_publish(CAMERA)
        Permissions().require_publish(CAMERA)

    def test_others(self) -> None:
        nothing = Permissions(can_publish=False, can_subscribe=False, can_publish_data=False)
        for call in (
            nothing.require_subscribe,
            nothing.require_publish_data,
            nothing.require_update_own_metadata,
        ):
            with pytest.raises(PermissionDeniedError):
                call()
        Permissions().require_subscribe()
        Permissions().require_publish_data()
        Permissions(can_update_metadata=True).require_update_own_metadata()

    def test_room_grants(self) -> None:
        admin = Grant(room=RoomName("a"), room_admin=True)
        admin.require_room_admin(RoomName("a"))
        for call in (
            lambda: admin.require_room_admin(RoomName("b")),
            admin.require_room_create,
            admin.require_room_list,
            admin.require_join,
        ):
            with pytest.raises(PermissionDeniedError):
                call()
        Grant(room_create=True, room_list=True).require_room_create()
        Grant(room_create=True, room_list=True).require_room_list()
        with pytest.raises(InvalidRequestError):
            Grant(room_join=True).require_join()
        assert Grant(room_join=True, room=RoomName("a")).require_join() == "a"


@pytest.mark.parametrize(
    "claims",
    [
        {"roomJoin": "yes"},
        {"roomJoin": 1},
        {"room": 5},
        {"canPublishSources": "camera"},
        {"canPublishSources": [1]},
        {"canPublish": "false"},
    ],
)
def test_wrong_type_is_an_error_that_names_the_claim(claims: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError, match=f"video.{next(iter(claims))}"):
        Grant.from_claims(claims)


def test_unknown_claims_are_ignored() -> None:
    assert Grant.from_claims({"agentEndpoint": {"x": 1}, "roomJoin": True}) == Grant(room_join=True)


@pytest.mark.parametrize(
    "grant",
    [
        Grant(),
        Grant(room=RoomName("r"), room_join=True, can_publish=False, can_subscribe=True, hidden=True),
        Grant(can_publish_sources=frozenset({CAMERA, MICROPHONE}), can_publish_data=False),
        Grant(can_publish_sources=frozenset()),
    ],
)
def test_claims_read_back(grant: Grant) -> None:
    assert Grant.from_claims(grant.to_claims()) == grant


def test_changed() -> None:
    assert Permissions().changed(hidden=True) == Permissions(hidden=True)
    with pytest.raises(TypeError):
        Permissions().changed(nonsense=True)
