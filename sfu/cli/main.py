"""All commands of `airside`, and the one way in which they fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from sfu import __version__
from sfu.cli import agents, rooms, tokens
from sfu.cli.flags import parse_flags
from sfu.core.errors import AirsideError
from sfu.loadtest.cli import load_test
from sfu.settings.load import load
from sfu.settings.models import Settings
from sfu.settings.modes import for_development, for_production

EXIT_SETTINGS = 2  # as for any wrong command line

SETTINGS_CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True}
EPILOG = (
    "Every setting of config/sfu.yaml is also a flag (--rtc.port 7882) and an environment variable "
    "(AIRSIDE_RTC__PORT). Flags win over the environment, the environment over the file."
)

errors = Console(stderr=True, soft_wrap=True, highlight=False)
app = typer.Typer(
    name="airside",
    help="Self-hosted WebRTC SFU for realtime voice and video AI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(tokens.app, name="token")
app.add_typer(rooms.app, name="room")
app.add_typer(agents.app, name="agent")
app.command("load-test")(load_test)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings as YAML; see config/sfu.yaml.")
]
CheckOption = Annotated[bool, typer.Option("--check", help="Read the settings, say what is wrong, and end.")]


@app.command(context_settings=SETTINGS_CONTEXT, epilog=EPILOG)
def dev(context: typer.Context, config: ConfigOption = None, check: CheckOption = False) -> None:
    """Run a server to try things on: key devkey, secret secret, the demo page with tokens for everybody."""
    _run(context, config, check, development=True)


@app.command(context_settings=SETTINGS_CONTEXT, epilog=EPILOG)
def serve(context: typer.Context, config: ConfigOption = None, check: CheckOption = False) -> None:
    """Run a server in production. Needs at least one API key."""
    _run(context, config, check, development=False)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _run(context: typer.Context, config: Path | None, check: bool, *, development: bool) -> None:
    settings = read_settings(config, context.args)
    settings = for_development(settings) if development else for_production(settings)
    if check:
        typer.echo("the settings are good")
        return
    # Imported here: the other commands need no packet plane, and should start at once.
    from sfu import server

    raise typer.Exit(server.run(settings, development=development))


def read_settings(config: Path | None, arguments: list[str]) -> Settings:
    """Settings of file, environment and flags. Raises SettingsError."""
    return load(config, os.environ, parse_flags(arguments))


def _fail(error: AirsideError, code: int) -> NoReturn:
    for line in error.text.splitlines():
        errors.print(f"[bold red]error:[/] {line}", markup=True)
    sys.exit(code)


def main() -> None:
    """Run the command line; errors of ours are sentences, not traces."""
    try:
        app()
    except AirsideError as error:
        _fail(error, EXIT_SETTINGS)
