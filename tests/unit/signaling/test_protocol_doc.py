"""PROTOCOL.md is complete and true: samples parse, name only real fields, and show every message."""

import json
import re
from importlib.resources import files
from typing import Any, get_args

import pytest

from sfu.core.errors import PeerError
from sfu.transport import errors as transport_errors
from signaling.native.messages import CLIENT_MESSAGE, SERVER_MESSAGE, ClientMessage, ServerMessage

TEXT = files("signaling.native").joinpath("PROTOCOL.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"```json (client|server)\n(.*?)```", TEXT, flags=re.DOTALL)


def assert_contains(whole: Any, part: Any, path: str) -> None:
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, f"{path}.{key} is not a field of the model"
            assert_contains(whole[key], value, f"{path}.{key}")
    elif isinstance(part, list):
        for index, value in enumerate(part):
            assert_contains(whole[index], value, f"{path}[{index}]")
    else:
        assert whole == part, path


@pytest.mark.parametrize(("side", "sample"), SAMPLES)
def test_sample_parses_and_names_only_real_fields(side: str, sample: str) -> None:
    adapter: Any = CLIENT_MESSAGE if side == "client" else SERVER_MESSAGE
    message = adapter.validate_json(sample)
    assert_contains(json.loads(adapter.dump_json(message)), json.loads(sample), message.type)


@pytest.mark.parametrize(("side", "union"), [("client", ClientMessage), ("server", ServerMessage)])
def test_every_message_has_a_sample(side: str, union: Any) -> None:
    shown = {json.loads(sample)["type"] for where, sample in SAMPLES if where == side}
    assert shown == {model.model_fields["type"].default for model in get_args(union)}


def test_every_json_block_is_a_marked_sample() -> None:
    assert TEXT.count("```json") == len(SAMPLES)


def peer_errors(base: type[PeerError] = PeerError) -> set[type[PeerError]]:
    """All that the server defines."""
    return {base}.union(*(peer_errors(each) for each in base.__subclasses__()))


def test_every_error_a_description_leads_to_is_listed() -> None:
    listed = set(re.findall(r"`(\w+)`", TEXT.split("## 10. Error codes")[1]))
    found = {each.code for each in peer_errors() if each.__module__ == transport_errors.__name__}
    assert found <= listed
    assert {"invalid_sdp", "negotiation_failed", "no_common_codec"} <= found
