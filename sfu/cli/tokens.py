"""`airside token`: access tokens for people, agents and programs."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from sfu.core.ids import RoomName
from sfu.participants.info import ParticipantKind
from sfu.participants.permissions import Grant, sources_from_names
from sfu.settings.load import load
from sfu.settings.modes import DEV_KEYS
from sfu.settings.sources import SettingsError
from signaling.auth import create_token

app = typer.Typer(help="Make access tokens.", no_args_is_help=True)

KeyOption = Annotated[str, typer.Option("--api-key", envvar="AIRSIDE_API_KEY", help="Which API key signs.")]
SecretOption = Annotated[str, typer.Option("--api-secret", envvar="AIRSIDE_API_SECRET", help="Its secret.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Take the first API key of this file.")
]
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.callback()
def token() -> None:
    """Make access tokens."""


@app.command()
def create(
    room: Annotated[str, typer.Option(help="The room it is for.")] = "",
    identity: Annotated[str, typer.Option(help="Who it speaks for; needed to join.")] = "",
    name: Annotated[str, typer.Option(help="Name shown to others.")] = "",
    metadata: Annotated[str, typer.Option(help="Metadata to join with.")] = "",
    attribute: Annotated[list[str] | None, typer.Option(help="key=value; may be repeated.")] = None,
    kind: Annotated[ParticipantKind, typer.Option(help="What joins.")] = ParticipantKind.STANDARD,
    valid_for: Annotated[str, typer.Option(help="As 90s, 30m, 6h, 7d.")] = "6h",
    join: Annotated[bool, typer.Option(help="May join the room.")] = True,
    publish: Annotated[bool, typer.Option(help="May publish media.")] = True,
    source: Annotated[list[str] | None, typer.Option(help="May publish only these sources.")] = None,
    subscribe: Annotated[bool, typer.Option(help="May receive media.")] = True,
    data: Annotated[bool, typer.Option(help="May send data messages.")] = True,
    rename: Annotated[bool, typer.Option(help="May change its own name and metadata.")] = False,
    hidden: Annotated[bool, typer.Option(help="Others do not see it.")] = False,
    admin: Annotated[bool, typer.Option(help="Administers the room by the server API.")] = False,
    list_rooms: Annotated[bool, typer.Option("--list", help="Lists rooms by the server API.")] = False,
    create_rooms: Annotated[bool, typer.Option("--create", help="Makes and ends rooms by it.")] = False,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
) -> None:
    """Print a token. Without --config, --api-key or AIRSIDE_KEYS it is for `airside dev`."""
    key, secret = find_key(api_key, api_secret, config)
    joins = join and bool(identity)
    if not (joins or admin or list_rooms or create_rooms):
        raise typer.BadParameter("give --identity and --room to join, or --admin, --list, --create")
    if (joins or admin) and not room:
        raise typer.BadParameter("--room is needed")
    grant = Grant(
        room=RoomName(room),
        room_join=joins,
        room_admin=admin,
        room_list=list_rooms,
        room_create=create_rooms,
        can_publish=publish,
        can_publish_sources=sources_from_names(source or ()),
        can_subscribe=subscribe,
        can_publish_data=data,
        can_update_own_metadata=rename,
        hidden=hidden,
    )
    typer.echo(
        create_token(
            key,
            secret,
            grant,
            now=time.time(),
            identity=identity,
            name=name,
            metadata=metadata,
            attributes=_attributes(attribute or []),
            kind=kind,
            validity_s=_seconds(valid_for),
        )
    )


def find_key(api_key: str, api_secret: str, config: Path | None) -> tuple[str, str]:
    """The API key to sign with: given, or the first of the configuration, or that of `airside dev`.

    Raises:
        SettingsError: A key without its secret.
    """
    keys = load(config, os.environ).keys or DEV_KEYS
    if not api_key:
        return next(iter(keys.items()))
    secret = api_secret or keys.get(api_key, "")
    if not secret:
        raise SettingsError([f"keys: no secret for {api_key}; give --api-secret"])
    return api_key, secret


def _attributes(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair}: attributes are key=value")
        found[key] = value
    return found


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"{text}: a duration is a number and one of s, m, h, d")
    return float(match[1]) * _UNITS_S[match[2]]
