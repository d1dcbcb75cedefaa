"""STUN that is broken, forged, replayed or too much: it proves nothing, moves nothing, reflects nothing."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.callers import Caller, joined
from tests.support.checks import (
    HEADER_LENGTH,
    Credentials,
    answers,
    attribute,
    check,
    message,
    udp_socket,
)
from tests.support.ground import Ground
from tests.support.relay import is_media, is_stun, relay_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

MALFORMED = ("stun_malformed", "not_stun_dtls_rtp", "stun_unknown_ufrag", "stun_unexpected")
FLOOD = 20_000
BATCH = 500
ANSWERED_PER_S = 20
"""Negative answers of one transport; ice/responder.rs."""
SOURCES = 400
XOR_MAPPED_ADDRESS, MAPPED_ADDRESS, USERNAME, INTEGRITY, FINGERPRINT = 0x20, 0x01, 0x06, 0x08, 0x8028


def credentials(caller: Caller) -> Credentials:
    """As the caller itself checks with."""
    assert caller.plan is not None
    return Credentials(caller.plan.ice_ufrag, caller.credentials.ufrag, caller.plan.ice_pwd)


def broken(good: bytes) -> Iterator[bytes]:
    """Everything that can be wrong with a message, beside its content."""
    for length in range(len(good)):
        yield good[:length]
    for length in range(0, 0x10000, 257):
        yield good[:2] + length.to_bytes(2, "big") + good[4:]
    for kind in (XOR_MAPPED_ADDRESS, MAPPED_ADDRESS, USERNAME, INTEGRITY, FINGERPRINT):
        for size in (0, 1, 3, 4, 7, 0xFFFF):
            yield message(attribute(kind, b"", length=size))
            yield message(attribute(kind, bytes(8), length=size))
            yield message(attribute(kind, bytes(8), length=size), kind=0x0101)
    yield message(b"".join(attribute(0x7000 + n % 0xFFF, b"") for n in range(300)))
    yield message(attribute(USERNAME, b":" * 600))
    yield message(attribute(USERNAME, b"\xff\xfe:\x00"))
    for kind in (0x0011, 0x0101, 0x0111, 0x0002, 0x03FF):
        yield kind.to_bytes(2, "big") + good[2:]
    rng = random.Random(7)
    for _ in range(1000):
        changed = bytearray(good)
        changed[rng.randrange(HEADER_LENGTH, len(good))] ^= 1 << rng.randrange(8)
        yield bytes(changed)


async def test_broken_messages_are_counted_and_not_answered(ground: Ground) -> None:
    sent = list(broken(check(Credentials("00nobody", "me", "p" * 24))))
    with udp_socket() as stranger:
        async with ground.undisturbed(*MALFORMED, at_least=len(sent) - 1):
            for datagram in sent:
                stranger.sendto(datagram, ground.address)
        assert answers(stranger) == []


async def test_a_flood_for_unknown_ufrags_is_not_answered(ground: Ground) -> None:
    with udp_socket() as stranger:
        async with ground.undisturbed("stun_unknown_ufrag", at_least=FLOOD // 2):
            for number in range(FLOOD // BATCH):
                request = check(Credentials(f"00{number:014d}", "me", "p" * 24))
                for _ in range(BATCH):
                    stranger.sendto(request, ground.address)
                await asyncio.sleep(0)
        assert answers(stranger) == []


async def test_a_flood_with_bad_integrity_gets_few_and_small_answers(ground: Ground) -> None:
    request = check(credentials(ground.listener), password="wrong" * 5)
    loop = asyncio.get_running_loop()
    with udp_socket() as stranger:
        began_at = loop.time()
        reasons = ("stun_bad_integrity", "stun_rate_limited")
        async with ground.undisturbed(*reasons, at_least=FLOOD // 2) as watch:
            for _ in range(FLOOD // BATCH):
                for _ in range(BATCH):
                    stranger.sendto(request, ground.address)
                await asyncio.sleep(0)
        got = answers(stranger)
        seconds = int(loop.time() - began_at) + 2
    assert watch.counted["stun_rate_limited"] > watch.counted["stun_bad_integrity"]
    assert 0 < len(got) <= ANSWERED_PER_S * seconds
    assert max(map(len, got)) <= len(request), "an answer longer than its request: a reflector"


@pytest.mark.parametrize("password", ["", "wrong" * 5])
async def test_a_nomination_without_integrity_moves_no_media(ground: Ground, password: str) -> None:
    request = check(credentials(ground.listener), nominate=True, password=password)
    with udp_socket() as thief:
        reasons = ("stun_bad_integrity", "stun_unexpected", "stun_rate_limited")
        async with ground.undisturbed(*reasons, at_least=50):
            for _ in range(50):
                thief.sendto(request, ground.address)
                await asyncio.sleep(0.005)
        got = answers(thief)
    assert not any(map(is_media, got)), "media went to somebody else"
    assert all(len(answer) <= len(request) for answer in got)


async def test_a_replayed_check_moves_no_media(ground: Ground) -> None:
    """Word for word what the client sent, from elsewhere: it may add a path, not take the media along."""
    token = ground.token("eavesdropped")
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, ground.server.ws_url, token, via=relay.address, receive=1) as caller,
    ):
        await caller.connected()
        await caller.until(lambda: caller.bound)
        checks = [datagram for datagram in relay.sent if is_stun(datagram)]
        with udp_socket() as thief:
            async with ground.undisturbed(), caller.metered(next(iter(caller.bound))) as meter:
                for _ in range(50):
                    for datagram in checks:
                        thief.sendto(datagram, ground.address)
                    await asyncio.sleep(0.01)
                heard = await ground.callers.heard(meter)
            got = answers(thief)
        assert heard.packets > 20, "the media left its path"
        assert not any(map(is_media, got)), "media went to somebody else"
        assert all(len(answer) <= max(map(len, checks)) for answer in got)


async def test_an_explosion_of_source_ports_is_bounded(ground: Ground) -> None:
    """A participant checks from hundreds of ports: few paths are kept, the media stays."""
    token = ground.token("many")
    async with joined(ground.callers, ground.server.ws_url, token, receive=1) as caller:
        await caller.connected()
        await caller.until(lambda: caller.bound)
        request = check(credentials(caller), nominate=False)
        with ExitStack() as stack:
            sockets: list[socket.socket] = [stack.enter_context(udp_socket()) for _ in range(SOURCES)]
            async with ground.undisturbed(), caller.metered(next(iter(caller.bound))) as meter:
                for _ in range(5):
                    for each in sockets:
                        each.sendto(request, ground.address)
                    await asyncio.sleep(0.1)
                heard = await ground.callers.heard(meter)
            assert heard.packets > 20, "the media left its path"
            assert not any(is_media(answer) for each in sockets for answer in answers(each))
        addresses = await ground.held("addresses")
        assert addresses <= 3 * 8, f"{addresses} addresses are remembered for 3 clients"
