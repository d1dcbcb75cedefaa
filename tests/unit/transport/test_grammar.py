"""RFC 8866 section 9, and what must be refused (hostile input 27)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.transport.errors import SdpError
from sfu.transport.sdp.grammar import MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, MAX_SECTIONS, parse, write
from sfu.transport.sdp.model import (
    Attribute,
    Bandwidth,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
)
from tests.unit.transport.support import CAPTURED, captured

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
REFUSED_WITHIN_S = 0.5

TOKENS = st.text(st.sampled_from("!#$%&'*+-.0123456789ABCxyz^_`{|}~"), min_size=1, max_size=12)
WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12
).filter(lambda text: text.split() == [text])
VALUES = st.text(
    st.characters(codec="utf-8", exclude_characters=[chr(c) for c in (*range(32), 127) if c != 9]),
    max_size=40,
)
NUMBERS = st.integers(0, 2**63 - 1)
ATTRIBUTES = st.lists(st.builds(Attribute, TOKENS, st.none() | VALUES), max_size=5).map(tuple)
CONNECTIONS = st.none() | st.builds(Connection, WORDS, TOKENS)
BANDWIDTHS = st.lists(st.builds(Bandwidth, TOKENS, NUMBERS), max_size=2).map(tuple)
MEDIA = st.builds(
    MediaDescription,
    kind=TOKENS,
    port=st.integers(0, 65535),
    protocol=st.lists(TOKENS, min_size=1, max_size=3).map("/".join),
    formats=st.lists(TOKENS, min_size=1, max_size=4).map(tuple),
    port_count=st.integers(1, 65535),
    connection=CONNECTIONS,
    bandwidths=BANDWIDTHS,
    attributes=ATTRIBUTES,
)
DESCRIPTIONS = st.builds(
    SessionDescription,
    origin=st.builds(Origin, NUMBERS, NUMBERS, WORDS, TOKENS, WORDS),
    name=VALUES.filter(bool),
    connection=CONNECTIONS,
    bandwidths=BANDWIDTHS,
    attributes=ATTRIBUTES,
    media=st.lists(MEDIA, max_size=4).map(tuple),
)


@given(DESCRIPTIONS)
def test_what_is_written_reads_back_the_same(description: SessionDescription) -> None:
    assert parse(write(description)) == description


@pytest.mark.parametrize("name", CAPTURED)
def test_offers_of_other_stacks_survive_a_round_trip(name: str) -> None:
    description = parse(captured(name))
    assert parse(write(description)) == description
    assert parse(captured(name).encode()) == description


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_value_or_the_one_error(data: bytes) -> None:
    for text in (data, HEAD.encode() + data):
        try:
            parse(text)
        except SdpError:
            continue


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_arbitrary_text_gives_a_value_that_can_be_written_or_the_one_error(text: str) -> None:
    try:
        description = parse(HEAD + text)
    except SdpError:
        return
    assert parse(write(description)) == description


@settings(max_examples=200)
@given(st.sampled_from(CAPTURED), st.data())
def test_a_real_offer_with_bytes_changed_gives_a_value_or_the_one_error(
    name: str, draw: st.DataObject
) -> None:
    data = bytearray(captured(name).encode())
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        parse(bytes(data))
    except SdpError:
        return


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("\r\n", "\n"),
        HEAD + "\r\n\r\n",
        HEAD.replace("s=-\r\n", "").replace("t=0 0\r\n", ""),
        HEAD + "i=about\r\nu=http://x\r\ne=a@b\r\nz=0 0\r\nk=clear:x\r\ny=unknown\r\n",
        HEAD + "a=\r\na=bad name:x\r\n",
    ],
)
def test_tolerated(text: str) -> None:
    assert parse(text) == parse(HEAD)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("hello", 1),
        ("v=1\r\n", 1),
        ("v=0\r\ns=-\r\n", 0),
        ("v=0\r\no=- 1 2 IN IP4\r\n", 2),
        ("v=0\r\no=- x 2 IN IP4 127.0.0.1\r\n", 2),
        ("v=0\r\no=- 99999999999999999999999 2 IN IP4 127.0.0.1\r\n", 2),
        (HEAD + "nonsense\r\n", 5),
        (HEAD + "\r\na=x\r\n", 5),
        (HEAD + "v=0\r\n", 5),
        (HEAD + "c=IN IP4\r\n", 5),
        (HEAD + "m=audio 9 RTP/SAVPF\r\n", 5),
        (HEAD + "m=audio 70000 RTP/SAVPF 0\r\n", 5),
        (HEAD + "m=audio 9/0 RTP/SAVPF 0\r\n", 5),
        (HEAD + "m=audio ٩ RTP/SAVPF 0\r\n", 5),
        (HEAD + "m=au:dio 9 RTP/SAVPF 0\r\n", 5),
        (HEAD + "m=audio 9 RTP//SAVPF 0\r\n", 5),
        (HEAD + "a=x:\x00\r\n", 5),
        (HEAD + "a=x:\x1b[31m\r\n", 5),
        (HEAD + "a=x:one\ra=y\r\n", 5),
        (HEAD + "a=x:\ud800\r\n", 0),
    ],
)
def test_refused_with_the_line(text: str, line: int) -> None:
    with pytest.raises(SdpError) as caught:
        parse(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "a=x\r\n" * 300_000,
        HEAD + "a=x:" + "y" * 1_000_000,
        "x" * 1_000_000,
        HEAD + "m=audio 9 RTP/SAVPF 0\n" * 10_000,
        HEAD + "a=" + "é" * (MAX_LINE_BYTES // 2),
        HEAD + "é" * (MAX_BYTES // 2),
        HEAD + "a=x\n" * MAX_LINES,
        HEAD + "m=audio 9 RTP/SAVPF 0\n" * (MAX_SECTIONS + 1),
        b"v=0\r\n" + b"\xff" * 100,
    ],
    ids=[
        "1 MB",
        "line of 1 MB",
        "one line",
        "10000 sections",
        "é line",
        "é",
        "lines",
        "201 sections",
        "not UTF-8",
    ],
)
def test_over_a_limit_is_refused_quickly(text: str | bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(SdpError):
        parse(text)
    assert time.perf_counter() - began < REFUSED_WITHIN_S


def test_the_largest_allowed_is_read() -> None:
    description = parse(HEAD + "m=audio 9 RTP/SAVPF 0\r\n" * MAX_SECTIONS)
    assert len(description.media) == MAX_SECTIONS


@pytest.mark.parametrize(
    "description",
    [
        SessionDescription(Origin(1, 1), attributes=(Attribute("mid", "0\r\na=evil"),)),
        SessionDescription(Origin(1, 1), attributes=(Attribute("a b"),)),
        SessionDescription(Origin(1, 1, username="a b")),
        SessionDescription(Origin(1, 1), name="\n"),
        SessionDescription(Origin(1, 1), media=(MediaDescription("audio", 9, "RTP/SAVPF", ()),)),
        SessionDescription(Origin(1, 1), media=(MediaDescription("audio", 9, "RTP /SAVPF", ("0",)),)),
    ],
)
def test_the_writer_refuses_what_would_not_read_back(description: SessionDescription) -> None:
    with pytest.raises(ValueError, match=r".+"):
        write(description)
