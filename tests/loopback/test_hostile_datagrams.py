"""Datagrams that are nothing: every first byte (RFC 7983), every size, of strangers and on a live pair."""

from __future__ import annotations

import random

import pytest

from tests.support.callers import joined
from tests.support.checks import answers, udp_socket
from tests.support.ground import Ground
from tests.support.relay import relay_to

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
    with udp_socket() as stranger:
        async with ground.undisturbed(*reasons, at_least=COUNT):
            for datagram in garbage(firsts, COUNT, seed=firsts[0]):
                stranger.sendto(datagram, ground.address)
        assert answers(stranger) == []


async def test_garbage_on_a_live_pair_ends_nothing(ground: Ground) -> None:
    """All classes, as if from the client itself: to the server its address is validated."""
    datagrams = [
        datagram for firsts, _ in CLASSES.values() for datagram in garbage(firsts, COUNT // 4, seed=firsts[1])
    ]
    reasons = {reason for _, wanted in CLASSES.values() for reason in wanted}
    reasons |= {"dtls_rejected", "srtp_auth_failed", "srtp_too_short", "srtp_no_context", "rtp_malformed"}
    token = ground.token("target")
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, ground.server.ws_url, token, via=relay.address, receive=1) as target,
    ):
        await target.connected()
        await target.until(lambda: target.bound)
        async with ground.undisturbed(*reasons, at_least=len(datagrams) * 9 // 10):
            for datagram in datagrams:
                relay.inject(datagram)
        async with target.metered(next(iter(target.bound))) as meter:
            await ground.listen(meter)
        assert target.closed_because is None


async def test_sizes_that_no_packet_has(ground: Ground) -> None:
    """Nothing at all, one byte, 9 kB, and the most that UDP takes (in fragments)."""
    token = ground.token("target")
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, ground.server.ws_url, token, via=relay.address, receive=1) as target,
    ):
        await target.connected()
        await target.until(lambda: target.bound)
        with udp_socket() as stranger:
            async with ground.undisturbed("not_stun_dtls_rtp", "unknown_address", at_least=64):
                for first in (0, 22, 100, 128):
                    for length in (0, 1, 9000, 65_507):
                        datagram = bytes([first]).ljust(length, b"\0")[:length]
                        for _ in range(20):
                            stranger.sendto(datagram, ground.address)
                            relay.inject(datagram)
            assert answers(stranger) == []
        async with target.metered(next(iter(target.bound))) as meter:
            await ground.listen(meter)
