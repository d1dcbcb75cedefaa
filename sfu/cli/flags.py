"""Flags that are settings: `--rtc.port 7882`, `--rtc.port=7882`, `--rtc.port_per_worker`."""

from __future__ import annotations

from collections.abc import Sequence

from sfu.settings.sources import SettingsError

SHORT = {"tls-cert": "http.tls_cert", "tls-key": "http.tls_key"}
"""Names worth a shorter spelling."""


def parse_flags(arguments: Sequence[str]) -> dict[str, str | bool]:
    """Read what typer left over; unknown names are found by `settings.load`.

    Raises:
        SettingsError: Something is no flag, or a flag is given twice.
    """
    flags: dict[str, str | bool] = {}
    problems: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            problems.append(f"{word}: is no flag; settings are flags by their names, like --rtc.port 7882")
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        name = SHORT.get(name, name)
        if name in flags:
            problems.append(f"{name}: given twice (from --{name})")
        if equals:
            flags[name] = value
        elif rest and not rest[0].startswith("--"):
            flags[name] = rest.pop(0)
        else:
            flags[name] = True
    if problems:
        raise SettingsError(problems)
    return flags
