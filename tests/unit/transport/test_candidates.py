"""RFC 8839 section 5.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.errors import SdpError
from sfu.transport.sdp.candidates import (
    MAX_CANDIDATES,
    Candidate,
    host_candidate,
    parse_candidate,
    reachable,
    write_candidate,
)


def test_browser_candidate() -> None:
    text = (
        "candidate:842163049 1 udp 1677729535 192.0.2.9 46154 typ srflx raddr 10.0.0.1 rport 46154"
        " generation 0 ufrag EEtu network-cost 999"
    )
    candidate = parse_candidate(text)
    assert candidate == Candidate(
        "842163049", 1, "udp", 1677729535, "192.0.2.9", 46154, "srflx", ufrag="EEtu"
    )
    assert parse_candidate("a=" + text) == candidate


def test_our_own_reads_back() -> None:
    candidate = host_candidate("2001:db8::1", 7882, local_preference=65000)
    assert parse_candidate(write_candidate(candidate)) == candidate
    assert host_candidate("192.0.2.1", 1).priority > candidate.priority


@pytest.mark.parametrize(
    "text",
    [
        "",
        "candidate:",
        "1 1 udp 1 192.0.2.1 9 type host",
        "1 0 udp 1 192.0.2.1 9 typ host",
        "1 1 udp 4294967296 192.0.2.1 9 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "1 1 udp -1 192.0.2.1 9 typ host",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(SdpError):
        parse_candidate(text)


@given(st.text(max_size=80))
def test_arbitrary_text_gives_a_value_or_the_one_error(text: str) -> None:
    try:
        parse_candidate(text)
    except SdpError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "1 1 udp 1 4f2b9c5e-1.local 9 typ host",
        "1 1 udp 1 turn.example.org 9 typ relay",
        "1 2 udp 1 192.0.2.1 9 typ host",
        "1 1 udp 1 192.0.2.1 0 typ host",
        "1 1 udp 1 0.0.0.0 9 typ host",
        "1 1 udp 1 :: 9 typ host",
        "1 1 udp 1 224.0.0.1 9 typ host",
        "1 1 udp 1 255.255.255.255 9 typ host",
        "1 1 udp 1 ::ffff:224.0.0.1 9 typ host",
    ],
)
def test_never_sent_to(text: str) -> None:
    assert reachable([parse_candidate(text)]) == ()


def test_reachable_by_falling_priority_without_repeats_and_bounded() -> None:
    candidates = [host_candidate("192.0.2.1", port, local_preference=port) for port in range(1, 100)]
    addresses = reachable([*candidates, *candidates])
    assert len(addresses) == MAX_CANDIDATES
    assert addresses[0] == ("192.0.2.1", 99)
