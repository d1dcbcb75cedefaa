"""Media that is forged, replayed, or encrypted with good keys and malformed within."""

from __future__ import annotations

import asyncio
import random
import re
import struct
import time
from collections.abc import Iterator

import pytest

from tests.loopback.waiting import until
from tests.support.callers import Caller, joined
from tests.support.checks import udp_socket
from tests.support.ground import METRICS_INTERVAL_S, Ground, labelled
from tests.support.raw_peer import RawPeer, raw_peer
from tests.support.relay import is_media, relay_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLOOD = 10_000
BATCH = 250
PADDING, EXTENSION = 0x20, 0x10
ONE_BYTE, TWO_BYTE = 0xBEDE, 0x1000
SR, RR, SDES, BYE, APP, TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK, XR = 200, 201, 202, 203, 204, 205, 206, 207
A_WHILE = 30  # packets: a second or less of the filmed one's pictures
STORM = 2000
KEYFRAME_INTERVAL_S = 0.2
"""Between requests to one publisher (`keyframe.rs`); one more at either end."""
MOST_BYTES = 1_000_000
"""What may come back over the storm of NACKs: video of 500 kbit/s for some seconds, and its repair budget."""
NACK, TWCC, PLI, FIR, REMB = 1, 15, 1, 4, 15


async def hears(ground: Ground, caller: Caller) -> None:
    """Media arrives at this caller."""
    await caller.until(lambda: caller.bound)
    async with caller.metered(next(iter(caller.bound))) as meter:
        await ground.listen(meter)


def bad_tags(real: list[bytes], count: int) -> Iterator[bytes]:
    """Real packets with a bit changed somewhere behind the header, and packets made up."""
    rng = random.Random(1)
    for index in range(count):
        if index % 2:
            packet = bytearray(rng.choice(real))
            packet[rng.randrange(12, len(packet))] ^= 1 << rng.randrange(8)
        else:
            packet = bytearray(rng.randbytes(rng.randrange(12, 1200)))
            packet[0], packet[1] = 0x80, rng.choice((111, 96, 0, 200, 205))
        yield bytes(packet)


async def test_a_flood_of_bad_tags_on_a_live_pair(ground: Ground) -> None:
    """It neither ends the call nor reaches anybody (CVE-2021-41105, CVE-2025-53399)."""
    token = ground.token("talker")
    reasons = ("srtp_auth_failed", "srtp_replayed", "srtp_too_short", "rtp_malformed")
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, ground.server.ws_url, token, via=relay.address, audio=1, receive=1) as talker,
    ):
        await talker.connected()
        talker.speak()
        await hears(ground, talker)
        real = [datagram for datagram in relay.sent if is_media(datagram)]
        async with ground.undisturbed(*reasons, at_least=FLOOD // 2):
            for index, datagram in enumerate(bad_tags(real, FLOOD)):
                relay.inject(datagram)
                if index % BATCH == 0:
                    await asyncio.sleep(0)
        assert talker.closed_because is None
        await hears(ground, talker)


async def test_media_of_strangers_goes_nowhere(ground: Ground) -> None:
    """Plain RTP, and real packets of a participant from another address: sources are learnt by ICE alone."""
    token = ground.token("talker")
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, ground.server.ws_url, token, via=relay.address, audio=1) as talker,
    ):
        await talker.connected()
        talker.speak()
        await hears(ground, talker)
        real = [datagram for datagram in relay.sent if is_media(datagram)]
        with udp_socket() as stranger:
            async with ground.undisturbed("unknown_address", at_least=FLOOD // 2):
                for index, datagram in enumerate(bad_tags(real, FLOOD)):
                    stranger.sendto(datagram, ground.address)
                    stranger.sendto(real[index % len(real)], ground.address)
                    if index % BATCH == 0:
                        await asyncio.sleep(0)


async def test_replayed_packets_are_forwarded_once(ground: Ground) -> None:
    token = ground.token("talker", "replay")
    other = ground.token("hearer", "replay")
    url = ground.server.ws_url
    async with (
        relay_to(ground.address) as relay,
        joined(ground.callers, url, token, via=relay.address, audio=1, receive=0) as talker,
        joined(ground.callers, url, other, receive=1) as hearer,
    ):
        await talker.connected()
        await hearer.connected()
        talker.speak()
        await hears(ground, hearer)
        relay.to_server = lambda datagram: [datagram] * (3 if is_media(datagram) else 1)
        async with hearer.metered(next(iter(hearer.bound))) as meter:
            first = len(relay.sent)
            async with ground.undisturbed("srtp_replayed", at_least=500):
                for _ in range(5):
                    await asyncio.sleep(0.1)
                    for datagram in relay.sent:
                        if is_media(datagram):
                            relay.inject(datagram)
            heard = await ground.callers.heard(meter)
            spoken = sum(1 for datagram in relay.sent[first:] if is_media(datagram))
        # Sender reports are media to the relay, and a packet may be under way at either end.
        assert heard.packets <= spoken + 2
        assert heard.lost == 0


def malformed_rtp(peer: RawPeer) -> Iterator[bytes]:
    """Packets that pass authentication and are wrong within (CVE-2025-49140 and its kin)."""
    for count in (0, 1, 4, 5, 10, 200, 255):
        yield peer.rtp(b"abc" + bytes([count]), first=0x80 | PADDING)
        yield peer.rtp(bytes([count]), first=0x80 | PADDING)
    yield peer.rtp(b"\xff" * 255, first=0x80 | PADDING)
    yield peer.rtp(b"")
    yield peer.rtp(b"", first=0x80 | PADDING)
    yield peer.rtp(b"x", first=0x8F, between=bytes(60))
    for profile in (ONE_BYTE, TWO_BYTE, TWO_BYTE | 0xF, 0x0000, 0xABCD):
        for elements in (
            b"",
            b"\x00" * 8,
            b"\xf0\x00\x00\x00",
            b"\xff" * 8,
            b"\x1f" + bytes(3),
            b"\x10\x33\x1f\x00",
            b"\x01\xff\x00\x00",
            b"\x01\x00" * 254,
            b"\x10\x41" * 200,
        ):
            words = -(-len(elements) // 4)
            head = struct.pack("!HH", profile, words)
            yield peer.rtp(b"x", first=0x80 | EXTENSION, between=head + elements.ljust(words * 4, b"\0"))
    for payload_type in (0, 13, 34, 63, 96, 97, 127):
        yield peer.rtp(b"abcd", payload_type=payload_type)
        yield peer.rtp(b"", payload_type=payload_type)
    for sequence in (30_000, 60_000, 20_000, 52_000, 18_000, 50_000):
        yield peer.rtp(sequence=sequence, timestamp=2**31)
        yield peer.rtp(timestamp=0)
    rng = random.Random(3)
    for _ in range(500):
        length = rng.randrange(0, 40)
        first = 0x80 | rng.choice((0, PADDING))
        yield peer.rtp(rng.randbytes(length), first=first, timestamp=rng.randrange(2**32))
    for length in (1200, 1340):
        yield peer.rtp(bytes(length))


def malformed_headers(peer: RawPeer) -> Iterator[bytes]:
    """CSRCs and extensions past the end: wrong before anything is decrypted."""
    yield peer.rtp(b"", first=0x8F)
    yield peer.rtp(bytes(20), first=0x8F)
    yield peer.rtp(b"", first=0x80 | EXTENSION)
    yield peer.rtp(b"\xbe\xde\xff\xff", first=0x80 | EXTENSION)
    yield peer.rtp(b"\xbe\xde\x00\x09" + bytes(30), first=0x80 | EXTENSION)
    yield peer.rtp(bytes(58) + b"\xbe\xde", first=0x8F | EXTENSION)
    yield peer.rtp(b"\xbe", first=0x80 | EXTENSION)


def rtcp(kind: int, body: bytes, *, count: int = 0, words: int | None = None, first: int = 0x80) -> bytes:
    """One packet (RFC 3550 section 6.4), with any count and length."""
    length = len(body) // 4 if words is None else words
    return struct.pack("!BBH", first | count, kind, length & 0xFFFF) + body


def malformed_rtcp(peer: RawPeer, others: int) -> Iterator[bytes]:
    """Compounds that pass authentication and are wrong within; `others` is an SSRC of somebody else."""
    own, theirs = struct.pack("!I", peer.ssrc), struct.pack("!I", others)
    empty = rtcp(RR, own)
    yield rtcp(RR, own, words=0)
    yield rtcp(RR, own, words=0xFFFF)
    yield rtcp(RR, own, count=31)
    yield rtcp(SR, own, count=31)
    yield rtcp(SR, own + bytes(20), count=1)
    yield empty + rtcp(SR, own, words=400)
    yield empty + b"\x80"
    yield empty + rtcp(SDES, own + b"\x01\xffabc\x00\x00\x00", count=1)
    yield empty + rtcp(SDES, own + b"\x01\x04abcd\x01\x02", count=31)
    yield empty + rtcp(BYE, theirs, count=1)
    yield empty + rtcp(BYE, own + b"\xffgone"[:4], count=1)
    yield empty + rtcp(BYE, b"", count=31)
    yield empty + rtcp(APP, own + b"name")
    yield empty + rtcp(XR, own + struct.pack("!BBH", 5, 0, 0xFFFF))
    yield empty + rtcp(XR, own + struct.pack("!BBHIII", 5, 0, 3, others, 1, 1))
    yield empty + rtcp(XR, own + struct.pack("!BBHQ", 4, 0, 2, 2**64 - 1))
    twcc = own + theirs + struct.pack("!HHI", 0, 0xFFFF, 0)
    yield rtcp(TRANSPORT_FEEDBACK, twcc + b"\x20\x00" * 6, count=TWCC)
    yield rtcp(TRANSPORT_FEEDBACK, twcc + b"\x3f\xff" * 600, count=TWCC)
    yield rtcp(TRANSPORT_FEEDBACK, twcc + b"\xff\xff" * 300, count=TWCC)
    yield rtcp(TRANSPORT_FEEDBACK, twcc, count=TWCC)
    for bitrate in (b"\x01\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"):
        yield rtcp(PAYLOAD_FEEDBACK, own + bytes(4) + b"REMB" + bitrate + theirs, count=REMB)
    yield rtcp(PAYLOAD_FEEDBACK, own + bytes(4) + b"REMB" + b"\xff\x00\x00\x00", count=REMB)
    yield rtcp(PAYLOAD_FEEDBACK, own + theirs + b"\x00" * 6, count=FIR)
    yield b"".join(rtcp(RR, own) for _ in range(150))
    yield empty + rtcp(0x80 | 64, own, first=0x40)
    rng = random.Random(5)
    for _ in range(500):
        body = rng.randbytes(4 * rng.randrange(0, 20))
        kind = rng.choice((SR, RR, SDES, BYE, APP, TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK, XR))
        yield empty + rtcp(kind, body, count=rng.randrange(32), words=rng.choice((None, rng.randrange(64))))


def slot_ssrc(peer: RawPeer, kind: str) -> int:
    """The SSRC that the server sends by, in the first section of a kind that the peer receives."""
    sections = peer.pc.remoteDescription.sdp.split("\r\nm=")[1:]
    for section in sections:
        if section.startswith(kind) and "a=sendonly" in section:
            found = re.search(r"a=ssrc:(\d+)", section)
            assert found is not None
            return int(found[1])
    raise AssertionError(f"no {kind} is received")


async def asked_for(ground: Ground, metric: str) -> dict[str, float]:
    """A counter by direction, freshly read."""
    await asyncio.sleep(2 * METRICS_INTERVAL_S)
    return labelled(await ground.server.metrics(), metric, "direction")


async def test_rtp_that_is_wrong_within(ground: Ground) -> None:
    """Padding, extensions, payload types and sequence numbers of somebody who has the keys."""
    token = ground.token("mallory", "wrong")
    url = ground.server.ws_url
    reasons = ("rtp_malformed", "rtp_unknown_payload_type", "padding_only", "too_old")
    async with (
        raw_peer(url, token, receive_audio=0) as mallory,
        joined(ground.callers, url, ground.token("victim", "wrong"), receive=1) as victim,
    ):
        await victim.connected()
        await mallory.send(mallory.rtp())
        await victim.until(lambda: victim.bound)
        async with ground.undisturbed(*reasons, at_least=30):
            for packet in malformed_rtp(mallory):
                await mallory.send(packet)
            for packet in malformed_headers(mallory):
                await mallory.send_raw(packet)
        assert mallory.state == "connected"
        async with victim.metered(next(iter(victim.bound))) as meter:
            for _ in range(30):
                await mallory.send(mallory.rtp())
            # Good packets come through after the bad ones.
            async with asyncio.timeout(5):
                while (heard := await ground.callers.heard(meter)).packets < 30:
                    await asyncio.sleep(0.05)
        assert heard.packets == 30


async def test_rtcp_that_is_wrong_within(ground: Ground) -> None:
    """Reports, feedback and BYE of somebody who has the keys, some of it about others' streams."""
    async with raw_peer(ground.server.ws_url, ground.token("mallory")) as mallory:
        await mallory.hear("subscribed")
        async with ground.undisturbed("rtcp_malformed", at_least=50):
            for compound in malformed_rtcp(mallory, others=slot_ssrc(mallory, "audio")):
                await mallory.send(compound)
        assert mallory.state == "connected"


async def test_a_flood_of_new_ssrcs_is_bounded(ground: Ground) -> None:
    """With keys, without any mark of the section they belong to."""
    async with raw_peer(ground.server.ws_url, ground.token("mallory"), receive_audio=0) as mallory:
        reasons = ("rtp_unknown_ssrc", "rtp_too_many_ssrcs")
        async with ground.undisturbed(*reasons, at_least=FLOOD // 2):
            for index in range(FLOOD):
                await mallory.send(mallory.rtp(ssrc=0x1000_0000 + index, sequence=1))
                if index % BATCH == 0:
                    await asyncio.sleep(0)
        assert mallory.state == "connected"


async def test_a_storm_of_keyframe_requests_reaches_the_publisher_as_a_few(ground: Ground) -> None:
    """PLI and FIR, thousands of both: a publisher must not be made to send keyframes alone."""
    url = ground.server.ws_url
    async with (
        joined(ground.callers, url, ground.token("filmed", "storm"), video=1, receive=0) as filmed,
        raw_peer(url, ground.token("mallory", "storm"), receive_audio=0, receive_video=1) as mallory,
    ):
        await filmed.connected()
        filmed.speak()
        await mallory.hear("subscribed")
        own, theirs = struct.pack("!I", mallory.ssrc), struct.pack("!I", slot_ssrc(mallory, "video"))
        before = await asked_for(ground, "airside_plis_total")
        began_at = time.monotonic()
        async with ground.undisturbed():
            for number in range(STORM):
                await mallory.send(rtcp(PAYLOAD_FEEDBACK, own + theirs, count=PLI))
                entry = theirs + bytes([number % 256, 0, 0, 0])
                await mallory.send(rtcp(PAYLOAD_FEEDBACK, own + bytes(4) + entry, count=FIR))
                if number % BATCH == 0:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
        after = await asked_for(ground, "airside_plis_total")
        assert after["out"] - before["out"] > STORM, "the storm did not arrive"
        most = (time.monotonic() - began_at) / KEYFRAME_INTERVAL_S + 2
        assert 0 < after["in"] - before["in"] <= most < STORM / 10


async def test_a_storm_of_nacks_is_answered_within_bounds(ground: Ground) -> None:
    """The whole window asked for a thousand times: answers must not add up to more than the video."""
    url = ground.server.ws_url
    async with (
        joined(ground.callers, url, ground.token("filmed", "nacks"), video=1, receive=0) as filmed,
        raw_peer(url, ground.token("mallory", "nacks"), receive_audio=0, receive_video=1) as mallory,
    ):
        await filmed.connected()
        filmed.speak()
        await mallory.hear("subscribed")
        video = slot_ssrc(mallory, "video")
        await until(lambda: sum(ssrc == video for ssrc, _ in mallory.arrived) > A_WHILE)
        own, theirs = struct.pack("!I", mallory.ssrc), struct.pack("!I", video)
        newest = mallory.newest(video)
        before = mallory.bytes_received
        async with ground.undisturbed():
            for number in range(STORM):
                window = b"".join(
                    struct.pack("!HH", (newest - 17 * back) % 65536, 0xFFFF) for back in range(15)
                )
                await mallory.send(rtcp(TRANSPORT_FEEDBACK, own + theirs + window, count=NACK))
                if number % BATCH == 0:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
        repaired = await asked_for(ground, "airside_rtx_packets_total")
        # Three answers, the second and third of two copies.
        assert 0 < repaired["out"] <= 5 * 255, "packets were sent again more often than they may be"
        assert mallory.bytes_received - before < MOST_BYTES
