"""The only reader of configuration: file, then environment, then flags; the later one wins."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath

import yaml
from pydantic import BaseModel, ValidationError

from sfu.settings.models import Settings
from sfu.settings.sources import (
    Path,
    SettingsError,
    Value,
    from_environment,
    from_file,
    from_flags,
)


def load(
    file: FilePath | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, str | bool] | None = None,
) -> Settings:
    """Read the configuration.

    Args:
        file: A YAML file; None: none.
        environment: Usually `os.environ`.
        flags: By dotted name, `{"rtc.port": "0"}`. Text is read as in the environment.

    Raises:
        SettingsError: Every problem found, each with its key and where it came from.
    """
    values = from_file(file) if file is not None else []
    texts = [
        *from_environment(environment or {}, frozenset(paths())),
        *from_flags(flags or {}),
    ]
    return build([*values, *(parse_text(value) for value in texts)])


def paths(model: type[BaseModel] = Settings, above: Path = ()) -> Iterator[Path]:
    """Every setting: `("http", "host")`, ..., `("keys",)`."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from paths(field.annotation, (*above, name))
        else:
            yield (*above, name)


def parse_text(value: Value) -> Value:
    """Give text from the environment or a flag the shape its setting needs.

    A list is divided by commas: `10.0.0.1, 10.0.0.2`. Keys are pairs: `devkey: secret, other: word`.
    Other tables are YAML on one line: `{small: {max_participants: 2}}`.
    Everything else is left to the models, which read numbers and truth values from text.
    """
    if not isinstance(value.value, str):
        return value
    if value.path == ("keys",):
        return Value(value.path, _pairs(value), value.origin)
    if typing.get_origin(_annotation(value.path)) is dict:
        return Value(value.path, _table(value), value.origin)
    if _is_list(value.path):
        return Value(
            value.path, [part.strip() for part in value.value.split(",") if part.strip()], value.origin
        )
    if value.value == "" and _is_optional(value.path):
        return Value(value.path, None, value.origin)
    return value


def _pairs(value: Value) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in str(value.value).replace("\n", ",").split(","):
        if not part.strip():
            continue
        key, colon, secret = part.partition(":")
        if not colon:
            raise SettingsError([f"keys: must be pairs like `key: secret` (from {value.origin})"])
        pairs[key.strip()] = secret.strip()
    return pairs


def _table(value: Value) -> dict[str, object]:
    try:
        table = yaml.safe_load(str(value.value))
    except yaml.YAMLError:
        table = str(value.value)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise SettingsError([f"{'.'.join(value.path)}: must be a table (from {value.origin})"])
    return {str(name): entry for name, entry in table.items()}


def _annotation(path: Path) -> object:
    model: object = Settings
    for name in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or name not in model.model_fields:
            return None
        model = model.model_fields[name].annotation
    return model


def _is_list(path: Path) -> bool:
    return typing.get_origin(_annotation(path)) is tuple


def _is_optional(path: Path) -> bool:
    return type(None) in typing.get_args(_annotation(path))


def build(values: Iterable[Value]) -> Settings:
    """Settings from values in rising order of precedence. Raises SettingsError."""
    tree: dict[str, object] = {}
    origins: dict[Path, str] = {}
    problems: list[str] = []
    for value in values:
        if (problem := _misplaced(value)) is not None:
            problems.append(problem)
            continue
        if isinstance(value.value, dict):
            _insert(tree, value.path, dict(value.value))
            origins |= {(*value.path, name): value.origin for name in value.value}
        else:
            _insert(tree, value.path, value.value)
        origins[value.path] = value.origin
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems += [_line(tuple(map(str, item["loc"])), item["msg"], origins) for item in error.errors()]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _insert(tree: dict[str, object], path: Path, value: object) -> None:
    for name in path[:-1]:
        below = tree.setdefault(name, {})
        if not isinstance(below, dict):
            raise TypeError(f"`_misplaced` let a value onto section {name}")
        tree = below
    tree[path[-1]] = value


def _misplaced(value: Value) -> str | None:
    """Why this path is no setting; None if it is one."""
    name = ".".join(value.path)
    known = [".".join(path) for path in paths()]
    if name in known or _is_entry(value.path):
        return None
    if any(path.startswith(f"{name}.") for path in known):
        return f"{name}: is a section, not a setting (from {value.origin})"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{name}: no such setting{hint} (from {value.origin})"


def _is_entry(path: Path) -> bool:
    """Of a table: an API key, or a field of a room preset."""
    return (path[0] == "keys" and len(path) == 2) or (path[:2] == ("room", "presets") and len(path) == 4)


def _line(path: Path, reason: str, origins: Mapping[Path, str]) -> str:
    """The line of one problem. Secrets are never in it: pydantic's message holds no input."""
    reason = reason.removeprefix("Value error, ")
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return f"{'.'.join(path)}: {reason[:1].lower() + reason[1:]} (from {origins[path[:end]]})"
    return f"{'.'.join(path)}: {reason[:1].lower() + reason[1:]}" if path else reason
