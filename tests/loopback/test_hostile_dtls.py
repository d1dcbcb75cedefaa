"""DTLS from strangers, forged, twice, out of order, and from somebody else than signaling announced."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import pytest

from sfu.dataplane.events import TransportState
from tests.support.callers import Caller, joined, signaling
from tests.support.checks import Credentials, answers, check, udp_socket
from tests.support.ground import Ground
from tests.support.relay import Disorder, Relay, is_dtls, is_media, relay_to, unchanged

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNVALIDATED = "dtls_unvalidated_address"
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, CERTIFICATE, CLIENT_KEY_EXCHANGE, FINISHED = 1, 11, 16, 20
DTLS_1_2 = 0xFEFD
NULL_CIPHERS = (0x0000, 0x0001, 0x0002, 0x003B)
TIMES = 30


def record(kind: int, body: bytes, *, epoch: int = 0, number: int = 7, version: int = DTLS_1_2) -> bytes:
    """One record (RFC 6347 section 4.1)."""
    return struct.pack("!BHHHIH", kind, version, epoch, 0, number, len(body)) + body


def fragment(kind: int, body: bytes, *, length: int | None = None, offset: int = 0, seq: int = 0) -> bytes:
    """One fragment of a handshake message (RFC 6347 section 4.2.2)."""
    total = len(body) + offset if length is None else length
    head = bytes([kind]) + total.to_bytes(3, "big") + seq.to_bytes(2, "big")
    return head + offset.to_bytes(3, "big") + len(body).to_bytes(3, "big") + body


def client_hello(ciphers: tuple[int, ...] = NULL_CIPHERS) -> bytes:
    """A hello that no server can serve, as in the race that ended calls elsewhere (CVE-2023-49786)."""
    suites = b"".join(cipher.to_bytes(2, "big") for cipher in ciphers)
    body = struct.pack("!H32sBBH", DTLS_1_2, b"r" * 32, 0, 0, len(suites)) + suites + b"\x01\x00"
    return record(HANDSHAKE, fragment(CLIENT_HELLO, body), number=0)


def forged() -> Iterator[bytes]:
    """Records that only the peer may send, without its keys."""
    for level in (1, 2):
        for description in (0, 10, 20, 40, 80, 100):
            yield record(ALERT, bytes([level, description]))
    yield record(APPLICATION_DATA, b"plain text after the handshake")
    yield record(CHANGE_CIPHER_SPEC, b"\x01")
    yield client_hello()
    yield client_hello((0xC02B, 0xC02F))
    yield record(HANDSHAKE, fragment(FINISHED, bytes(12)))
    for number in (8, 1000, 2**31):
        yield record(ALERT, bytes(26), epoch=1, number=number)
        yield record(APPLICATION_DATA, bytes(60), epoch=1, number=number)
        yield record(HANDSHAKE, bytes(48), epoch=1, number=number)
    yield record(APPLICATION_DATA, bytes(60), epoch=2)
    yield record(ALERT, b"\x02\x28", version=0xFEFF)
    yield record(ALERT, b"\x02\x28", version=0x0303)


def fragments() -> Iterator[bytes]:
    """Handshake messages that are never finished, too long, overlapping or empty (CVE-2022-29189, -29190)."""
    for seq in range(8):
        for offset in range(0, 15_000, 1000):
            part = fragment(CERTIFICATE, bytes(1000), length=16_000, offset=offset, seq=seq)
            yield record(HANDSHAKE, part)
            yield record(HANDSHAKE, part)
    for length in (0, 1, 100, 2**24 - 1):
        yield record(HANDSHAKE, fragment(CLIENT_HELLO, b"", length=length))
        yield record(HANDSHAKE, fragment(CLIENT_HELLO, bytes(100), length=length))
        yield record(HANDSHAKE, fragment(CLIENT_KEY_EXCHANGE, bytes(50), length=length, offset=2**24 - 60))
    yield record(HANDSHAKE, b"")
    yield record(HANDSHAKE, fragment(CLIENT_HELLO, b"") * 100)


class Lossy:
    """Loses the first two handshake datagrams."""

    def __init__(self) -> None:
        self.lost = 0

    def __call__(self, datagram: bytes) -> Iterable[bytes]:
        if is_dtls(datagram) and self.lost < 2:
            self.lost += 1
            return ()
        return (datagram,)


@asynccontextmanager
async def relayed(ground: Ground, identity: str, *, receive: int) -> AsyncIterator[tuple[Caller, Relay]]:
    """A caller behind a relay, not yet started."""
    async with (
        relay_to(ground.address) as relay,
        joined(
            ground.callers, ground.server.ws_url, ground.token(identity), start=False, receive=receive
        ) as caller,
    ):
        yield caller, relay


async def hears(ground: Ground, caller: Caller) -> None:
    """Media arrives at this caller without a gap."""
    await caller.until(lambda: caller.bound)
    async with caller.metered(next(iter(caller.bound))) as meter:
        await ground.listen(meter)


async def test_hellos_of_strangers_before_and_after_the_real_one(ground: Ground) -> None:
    async with relayed(ground, "target", receive=1) as (target, relay):
        with udp_socket() as stranger:
            async with ground.undisturbed(UNVALIDATED, at_least=3 * TIMES):
                for _ in range(TIMES):
                    stranger.sendto(client_hello(), ground.address)
                target.start(relay.address)
                await target.connected()
                hello = next(datagram for datagram in relay.sent if is_dtls(datagram))
                for _ in range(TIMES):
                    stranger.sendto(hello, ground.address)
                    stranger.sendto(client_hello(), ground.address)
            assert answers(stranger) == [], "state was made, or bytes sent, for an unproven address"
        await hears(ground, target)


async def test_hellos_in_between_on_the_real_pair_do_not_end_the_handshake(ground: Ground) -> None:
    """Somebody who knows the client's address forges it, as soon as that address has been validated."""
    async with relayed(ground, "target", receive=1) as (target, relay):

        def slip_in(datagram: bytes) -> Iterator[bytes]:
            if is_dtls(datagram):
                yield client_hello()
                yield record(ALERT, b"\x02\x28")
            yield datagram
            if is_dtls(datagram):
                yield client_hello()

        relay.to_server = slip_in
        async with ground.undisturbed("dtls_rejected", at_least=3):
            target.start(relay.address)
            await target.connected()
        relay.to_server = unchanged
        await hears(ground, target)


async def test_forged_records_on_a_live_pair_end_nothing(ground: Ground) -> None:
    """Plain-text alerts, an unauthenticated close_notify, data and hellos, as if from the client."""
    async with relayed(ground, "target", receive=1) as (target, relay):
        target.start(relay.address)
        await target.connected()
        made = list(forged())
        async with ground.undisturbed("dtls_rejected", at_least=len(made) * TIMES * 3 // 4):
            for _ in range(TIMES):
                for datagram in made:
                    relay.inject(datagram)
        await hears(ground, target)
        assert target.closed_because is None
        assert TransportState.DISCONNECTED not in target.states


async def test_forged_records_of_a_stranger_are_not_even_read(ground: Ground) -> None:
    made = list(forged())
    with udp_socket() as stranger:
        async with ground.undisturbed(UNVALIDATED, at_least=(len(made) - 1) * TIMES):
            for _ in range(TIMES):
                for datagram in made:
                    stranger.sendto(datagram, ground.address)
        assert answers(stranger) == []


async def test_flights_twice_and_out_of_order(ground: Ground) -> None:
    """Every handshake datagram comes three times, both ways, and two of them in the wrong order."""
    async with relayed(ground, "target", receive=1) as (target, relay):
        up, down = Disorder(is_dtls, relay.inject), Disorder(is_dtls, relay.deliver)
        relay.to_server, relay.to_client = up, down
        async with ground.undisturbed():
            target.start(relay.address)
            await target.connected()
        assert up.count >= 2
        assert down.count >= 1
        await hears(ground, target)


async def test_first_flights_that_are_lost_come_again(ground: Ground) -> None:
    """Both sides repeat by their timers."""
    async with relayed(ground, "target", receive=1) as (target, relay):
        relay.to_server, relay.to_client = Lossy(), Lossy()
        async with ground.undisturbed():
            target.start(relay.address)
            await target.connected()
        await hears(ground, target)


async def test_a_certificate_that_was_not_announced_gets_no_media(ground: Ground) -> None:
    """Neither way, and the client is told why; so are the others, that it left."""
    token = ground.token("impostor")
    async with signaling(ground.callers, ground.server.ws_url, token) as impostor:
        sdp, tracks = impostor.offer(audio=1, receive=1)
        digest = impostor.plane.fingerprint.split()[1]
        other = ":".join(f"{255 - int(byte, 16):02X}" for byte in digest.split(":"))
        assert digest in sdp
        seen = len(ground.listener.messages)
        async with relay_to(ground.address) as relay, ground.undisturbed():
            offer = sdp.replace(digest, other)
            await impostor.say(type="join", protocol=1, offer=offer, tracks=tracks)
            impostor.accept((await impostor.hear("joined"))["answer"])
            impostor.start(relay.address)
            impostor.speak()
            leave = await impostor.hear("leave")
            assert (leave["code"], leave["reconnect"]) == ("media_failed", "rejoin")
            assert "certificate" in leave["message"] or "fingerprint" in leave["message"]
            assert not any(map(is_media, relay.received)), "the server sent media"
        await ground.listener.until(
            lambda: any(
                person["identity"] == "impostor"
                for message in ground.listener.messages[seen:]
                if message["type"] == "participants"
                for person in message["left"]
            )
        )


async def test_handshakes_that_never_end_hold_no_memory(ground: Ground) -> None:
    """A validated peer sends endless fragments: overlapping, empty, of messages of 16 MB."""
    token = ground.token("fragmented")
    async with signaling(ground.callers, ground.server.ws_url, token) as caller:
        sdp, _ = caller.offer(receive=1)
        await caller.say(type="join", protocol=1, offer=sdp)
        plan = caller.accept((await caller.hear("joined"))["answer"])
        caller.plan = None
        own = Credentials(plan.ice_ufrag, caller.credentials.ufrag, plan.ice_pwd)
        with udp_socket() as peer:
            peer.sendto(check(own), ground.address)
            async with ground.undisturbed("dtls_rejected", "dtls_backlog_full", at_least=500):
                for _ in range(10):
                    for datagram in fragments():
                        peer.sendto(datagram, ground.address)
                    await asyncio.sleep(0.02)
            assert sum(map(len, answers(peer))) < 10_000, "it was answered with more than a few alerts"


async def test_another_sessions_hello_on_a_live_pair_starts_nothing(ground: Ground) -> None:
    """A whole, good hello of somebody else: no second handshake on an association that is up."""
    async with (
        relayed(ground, "first", receive=1) as (first, relay),
        relayed(ground, "second", receive=1) as (second, other),
    ):
        first.start(relay.address)
        second.start(other.address)
        await first.connected()
        await second.connected()
        flights = [datagram for datagram in other.sent if is_dtls(datagram)]
        before = len([datagram for datagram in relay.received if is_dtls(datagram)])
        async with ground.undisturbed("dtls_rejected", at_least=TIMES):
            for _ in range(TIMES):
                for datagram in flights:
                    relay.inject(datagram)
        assert len([datagram for datagram in relay.received if is_dtls(datagram)]) <= before + 2 * TIMES
        await hears(ground, first)
        await hears(ground, second)
