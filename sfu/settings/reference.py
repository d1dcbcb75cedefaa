"""Writes config/sfu.yaml from the models: `python -m sfu.settings.reference > config/sfu.yaml`."""

from __future__ import annotations

import json
import sys
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sfu.settings.models import Settings

HEADER = """\
# Every setting of Airside with its default. To change one, remove the `#` before its name.
# The same names work in the environment (AIRSIDE_RTC__PORT=7882) and as flags (--rtc.port 7882);
# a flag wins over the environment, the environment over this file.
# `airside serve --config sfu.yaml --check` tells what is wrong with a file.
# Written by `python -m sfu.settings.reference`; a test holds it equal to the models.
"""


def render() -> str:
    """The text of config/sfu.yaml."""
    lines = [HEADER]
    defaults = Settings()
    for name, field in Settings.model_fields.items():
        value = getattr(defaults, name)
        if isinstance(value, BaseModel):
            lines += _comment(type(value).__doc__, "")
            lines.append(f"{name}:")
            for inner, inner_field in type(value).model_fields.items():
                lines += _setting(inner, inner_field, getattr(value, inner), "  ")
        else:
            lines += _setting(name, field, value, "")
        lines.append("")
    return "\n".join(lines)


def _setting(name: str, field: FieldInfo, value: object, indent: str) -> list[str]:
    about = [*_comment(field.description, indent), *_comment(_entry(field), indent, "#   ")]
    return [*about, f"{indent}#{name}: {_yaml(value)}"]


def _entry(field: FieldInfo) -> str:
    """What stands under each name of a setting that maps names to models; empty for the others."""
    model = get_args(field.annotation)[-1:] if get_origin(field.annotation) is dict else ()
    if not (model and isinstance(model[0], type) and issubclass(model[0], BaseModel)):
        return ""
    lines = []
    for name, inner in model[0].model_fields.items():
        about = " ".join((inner.description or "").split())
        lines.append(f"{name}: {_yaml(inner.default)} # {about}")
    return "\n".join(lines)


def _comment(text: str | None, indent: str, mark: str = "# ") -> list[str]:
    return [f"{indent}{mark}{line.strip()}" for line in (text or "").strip().splitlines()]


def _yaml(value: object) -> str:
    """JSON is YAML; a bare number reads better without a trailing `.0`."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(render())
