"""Where settings come from: a YAML file, the environment, flags. Each gives values with their origin.

Nothing is checked against the models here, only what each form itself can get wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

import yaml

from sfu.core.errors import AirsideError

Path = tuple[str, ...]
"""`("rtc", "port")`."""

ENV_PREFIX = "AIRSIDE_"
ENV_SEPARATOR = "__"
"""Two, because setting names hold single ones."""


@dataclass(frozen=True, slots=True)
class Value:
    """One setting as somebody wrote it."""

    path: Path
    value: object
    origin: str
    """For people: `sfu.yaml line 12`, `AIRSIDE_RTC__PORT`, `--rtc.port`."""


class SettingsError(AirsideError):
    """The configuration is wrong. The text has one line for each problem: key, reason, origin."""

    code = "bad_settings"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def from_yaml(text: str, name: str) -> Iterator[Value]:
    """Leaves of a YAML document. A section without content, and an empty file, give nothing.

    Raises:
        SettingsError: No YAML, no mapping at the top, or a key given twice.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise SettingsError([f"{name}: not YAML: {' '.join(str(error).split())}"]) from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError([f"{name}: the top level must be a mapping of sections"])
    yield from _leaves(root, (), name)


def _leaves(mapping: yaml.MappingNode, above: Path, name: str) -> Iterator[Value]:
    seen: set[str] = set()
    for key_node, node in mapping.value:
        line = f"{name} line {key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise SettingsError([f"{'.'.join(above)}: keys must be plain words (from {line})"])
        path = (*above, key_node.value)
        if key_node.value in seen:
            raise SettingsError([f"{'.'.join(path)}: given twice (from {line})"])
        seen.add(key_node.value)
        if isinstance(node, yaml.MappingNode):
            yield from _leaves(node, path, name)
        else:
            try:
                value = _plain(node)
            except yaml.YAMLError as error:
                reason = getattr(error, "problem", None) or "unreadable"
                raise SettingsError([f"{'.'.join(path)}: not YAML: {reason} (from {line})"]) from None
            if value is not None or above:
                yield Value(path, value, line)


def _plain(node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def from_file(path: FilePath) -> list[Value]:
    """As `from_yaml`, of a file. Raises SettingsError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError([f"{path}: cannot be read: {reason}"]) from None
    return list(from_yaml(text, path.name))


def from_environment(environment: Mapping[str, str], known: frozenset[Path]) -> Iterator[Value]:
    """`AIRSIDE_RTC__PORT=7882`; whole tables and lists as text, see `load.parse_text`.

    A name without the double underscore is not ours (Kubernetes writes `AIRSIDE_PORT` for a service
    called airside), unless with it it would be one of `known`: then it is a slip of the pen.

    Raises:
        SettingsError: Such a slip.
    """
    slips = {ENV_PREFIX + "_".join(path).upper(): path for path in known if len(path) > 1}
    for name, value in environment.items():
        if not name.startswith(ENV_PREFIX):
            continue
        words = name.removeprefix(ENV_PREFIX).split(ENV_SEPARATOR)
        path = (words[0].lower(), *words[1:]) if words[0].lower() == "keys" else tuple(map(str.lower, words))
        if len(words) > 1 or path in known:
            yield Value(path, value, name)
        elif name in slips:
            meant = ENV_PREFIX + ENV_SEPARATOR.join(slips[name]).upper()
            raise SettingsError([f"{name}: two underscores divide section and key: {meant}"])


def from_flags(flags: Mapping[str, str | bool]) -> Iterator[Value]:
    """`{"rtc.port": "7882"}`, as the command line gave it."""
    for name, value in flags.items():
        yield Value(tuple(name.split(".")), value, f"--{name}")
