"""The envelope of data messages: the same bytes as the packet plane's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.native.envelope import MAX_MESSAGE_BYTES, Envelope, decode, encode

IDENTITIES = st.text(st.characters(codec="utf-8"), max_size=64)
ENVELOPES = st.builds(
    Envelope,
    payload=st.binary(max_size=300),
    topic=IDENTITIES,
    destinations=st.lists(IDENTITIES, max_size=5).map(tuple),
    sender=IDENTITIES,
    sequence=st.integers(0, 2**32 - 1),
)


def test_bytes_on_the_wire() -> None:
    message = Envelope(b"hi", topic="chat", destinations=("bob", "é"))
    assert encode(message) == bytes.fromhex("01 00 00000000 0000 02 0003 626f62 0002 c3a9 0004 63686174 6869")


@given(ENVELOPES)
def test_round_trip(message: Envelope) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=80))
def test_arbitrary_bytes_give_a_value_or_a_value_error(data: bytes) -> None:
    for candidate in (data, b"\x01" + data):
        try:
            decode(candidate)
        except ValueError:
            continue


@given(ENVELOPES)
def test_truncated_before_the_payload_is_refused(message: Envelope) -> None:
    encoded = encode(message)
    for length in range(len(encoded) - len(message.payload)):
        with pytest.raises(ValueError, match=r".+"):
            decode(encoded[:length])


@pytest.mark.parametrize(
    "message",
    [
        Envelope(bytes(MAX_MESSAGE_BYTES)),
        Envelope(b"", topic="t" * 257),
        Envelope(b"", destinations=("é" * 129,)),
        Envelope(b"", destinations=("a",) * 256),
    ],
)
def test_too_long(message: Envelope) -> None:
    with pytest.raises(ValueError, match=r"at most|more than"):
        encode(message)
