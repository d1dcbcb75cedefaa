"""`airside room`: the server API from a terminal."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from sfu.cli.tokens import ConfigOption, KeyOption, SecretOption, find_key
from sfu.core.errors import AirsideError
from sfu.core.ids import RoomName
from sfu.participants.permissions import Grant
from signaling.auth import create_token

app = typer.Typer(help="Look at rooms and change them.", no_args_is_help=True)

DEFAULT_URL = "http://127.0.0.1:7880"
REQUEST_TIMEOUT_S = 10.0
TOKEN_VALIDITY_S = 60.0

UrlOption = Annotated[str, typer.Option("--url", envvar="AIRSIDE_URL", help="Where the server is.")]
RoomArgument = Annotated[str, typer.Argument(help="Name of the room.")]
IdentityArgument = Annotated[str, typer.Argument(help="Who.")]


class RequestFailedError(AirsideError):
    """The server refused, or nobody answered."""

    code = "request_failed"


class Api:
    """Calls of the server API, each with a token of its own."""

    def __init__(self, url: str, api_key: str, api_secret: str, config: Path | None) -> None:
        self._base = f"{url.rstrip('/')}/api/v1"
        self._key, self._secret = find_key(api_key, api_secret, config)

    def call(self, method: str, *parts: str, room: str = "", body: object = None) -> Any:
        """The answer's JSON; None if it has none.

        Raises:
            RequestFailedError: With the server's own words.
        """
        grant = Grant(room=RoomName(room), room_admin=bool(room), room_list=True, room_create=True)
        token = create_token(self._key, self._secret, grant, now=time.time(), validity_s=TOKEN_VALIDITY_S)
        path = "/".join(quote(part, safe="").replace(".", "%2E") for part in parts)
        request = urllib.request.Request(  # noqa: S310
            f"{self._base}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise RequestFailedError(_message(error)) from None
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise RequestFailedError(f"{self._base}: no answer: {reason}") from None
        return json.loads(content) if content else None


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}"


@app.command("list")
def list_rooms(
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the rooms that are open."""
    rooms = Api(url, api_key, api_secret, config).call("GET", "rooms")["rooms"]
    if as_json:
        typer.echo(json.dumps(rooms, indent=2))
        return
    table = Table("room", "id", "people", "publishing", "age")
    for room in rooms:
        age_s = int(time.time() - room["created_at"])
        people, publishing = str(room["num_participants"]), str(room["num_publishers"])
        table.add_row(room["name"], room["id"], people, publishing, f"{age_s // 60}:{age_s % 60:02}")
    Console().print(table)


@app.command("get")
def get_room(
    room: RoomArgument,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show who is in a room and what they publish."""
    found = Api(url, api_key, api_secret, config).call("GET", "rooms", room, "participants", room=room)
    if as_json:
        typer.echo(json.dumps(found["participants"], indent=2))
        return
    table = Table("identity", "name", "kind", "state", "tracks")
    for who in found["participants"]:
        tracks = ", ".join(
            f"{track['source']} {track['mime'].partition('/')[2]}{' (muted)' if track['muted'] else ''}"
            for track in who["tracks"]
        )
        table.add_row(who["identity"], who["name"], who["kind"], who["state"], tracks)
    Console().print(table)


@app.command("delete")
def delete_room(
    room: RoomArgument,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
) -> None:
    """End a room; everybody in it is told."""
    Api(url, api_key, api_secret, config).call("DELETE", "rooms", room)


@app.command("kick")
def remove_participant(
    room: RoomArgument,
    identity: IdentityArgument,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
) -> None:
    """Remove somebody from a room."""
    api = Api(url, api_key, api_secret, config)
    api.call("DELETE", "rooms", room, "participants", identity, room=room)


@app.command("mute")
def mute_tracks(
    room: RoomArgument,
    identity: IdentityArgument,
    track: Annotated[str, typer.Argument(help="Track id; without it, all of them.")] = "",
    unmute: Annotated[bool, typer.Option("--unmute", help="The other way round.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
) -> None:
    """Mute what somebody publishes."""
    api = Api(url, api_key, api_secret, config)
    tracks = (
        [track]
        if track
        else [
            each["id"]
            for each in api.call("GET", "rooms", room, "participants", identity, room=room)["tracks"]
        ]
    )
    for each in tracks:
        path = ("rooms", room, "participants", identity, "tracks", each)
        api.call("PATCH", *path, room=room, body={"muted": not unmute})
