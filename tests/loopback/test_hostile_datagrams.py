"""Datagrams that are nothing: of every first byte (RFC 7983), every size, from strangers and from a live pair."""

from __future__ import annotations

import random
import socket

import pytest

from tests.support.ground import Ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 2000
MAX_LENGTH = 1400

CLASSES = {
    "stun": (range(4), ("not_stun_dtls_rtp", "stun_malformed")),
    "unassigned_low": (range(4, 16), ("not_stun_dtls_rtp",)),
    "zrtp": (range(16, 20), ("not_stun_dtls_rtp",)),
    "dtls": (range(20, 64), ("not_stun_dtls_rtp", "unknown_address", "dtls_unvalidated_address")),
    "turn_channel": (range(64, 80), ("not_stun_dtls_rtp",)),
    "unassigned": (range(80, 128), ("not_stun_dtls_rtp",)),
    "rtp": (range(128, 192), ("unknown_address", "not_stun_dtls_rtp")),
    "unassigned_high": (range(192, 256), ("not_stun_dtls_rtp",)),
}


def garbage(firsts: range, count: int, seed: int) -> list[bytes]:
    """Random datagrams, half of them short; every first byte and every length up to 40 occurs."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        length = index % 41 + 1 if index % 2 else rng.randint(1, MAX_LENGTH)
        datagram = bytearray(rng.randbytes(length))
        datagram[0] = firsts[index % len(firsts)]
        made.append(bytes(datagram))
    return made


@pytest.mark.parametrize("name", CLASSES)
async def test_garbage_of_a_stranger_is_counted_and_not_answered(ground: Ground, name: str) -> None:
    firsts, reasons = CLASSES[name]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        async with ground.undisturbed(*reasons, at_least=COUNT):
            for datagram in garbage(firsts, COUNT, seed=firsts[0]):
                stranger.sendto(datagram, ground.address)
        with pytest.raises(BlockingIOError):
            stranger.recv(2048)
