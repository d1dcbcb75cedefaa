"""A forwarder as one would write it on aiortc: its RTP classes, libsrtp, one `sendto` per packet.

    python tests/bench/aiortc_forward.py [--seconds S] [--json FILE]

The same two loads as `cargo bench -p airside-python --bench forward`, without ICE and DTLS: keys are given.
Sinks are sockets in another process that counts what arrives. Packets per second of processor time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import selectors
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from pylibsrtp import Policy, Session

SUBSCRIBERS = 100
KEY_BYTES, SALT_BYTES, TAG_BYTES = 16, 12, 16
BUFFER_BYTES = 4 << 20
SETTLE_S = 0.3


@dataclass(frozen=True)
class Scenario:
    """One kind of load, named as in the Rust benchmark."""

    name: str
    publishers: int
    payload_bytes: int


SCENARIOS = (
    Scenario("video 1200 B, 1 to 100", 1, 1150),
    Scenario("audio 100 B, 10 to 100", 10, 52),
)


def session(number: int, direction: int) -> Session:
    """One direction of one peer. AEAD_AES_128_GCM as browsers and the server agree on."""
    key = bytes([number % 256]) * (KEY_BYTES + SALT_BYTES)
    profile = Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    return Session(Policy(key=key, ssrc_type=direction, srtp_profile=profile))


def count(sockets: list[socket.socket], result: Connection, core: int) -> None:
    """Drain the sinks until told to stop; then say how many came."""
    os.sched_setaffinity(0, {core})
    selector = selectors.DefaultSelector()
    for sink in sockets:
        sink.setblocking(False)
        selector.register(sink, selectors.EVENT_READ)
    delivered = 0
    while not result.poll():
        for key, _ in selector.select(timeout=0.05):
            assert isinstance(key.fileobj, socket.socket)
            try:
                while True:
                    key.fileobj.recv(2048)
                    delivered += 1
            except BlockingIOError:
                pass
    result.send(delivered)


def forward(scenario: Scenario, sinks: list[socket.socket], seconds: float) -> tuple[int, float]:
    """Receive, decrypt, and for each subscriber rewrite, encrypt, send. Packets sent, processor seconds."""
    extensions = HeaderExtensionsMap()
    outgoing = [
        (session(index, Policy.SSRC_ANY_OUTBOUND), sink.getsockname()) for index, sink in enumerate(sinks)
    ]
    publish = session(200, Policy.SSRC_ANY_OUTBOUND)
    incoming = session(200, Policy.SSRC_ANY_INBOUND)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    address = server.getsockname()
    sent, sequence, busy_s = 0, 0, 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sequence = (sequence + 1) % 65536
        for publisher in range(scenario.publishers):
            packet = RtpPacket(payload_type=96, sequence_number=sequence, ssrc=1000 + publisher)
            packet.payload = b"\x55" * scenario.payload_bytes
            sender.sendto(publish.protect(packet.serialize(extensions)), address)
        began = time.thread_time()
        for _ in range(scenario.publishers):
            received = RtpPacket.parse(incoming.unprotect(server.recv(2048)), extensions)
            for srtp, sink in outgoing:
                # As a per-subscriber rewrite does; the payload is shared.
                received.ssrc = 5000 + (received.ssrc % 1000)
                received.sequence_number = sequence
                server.sendto(srtp.protect(received.serialize(extensions)), sink)
                sent += 1
        busy_s += time.thread_time() - began
    return sent, busy_s


def run(scenario: Scenario, seconds: float) -> dict[str, float | str]:
    """One scenario; figures with the names of the Rust benchmark."""
    *_, load_core, worker_core = sorted(os.sched_getaffinity(0))
    sinks = []
    for _ in range(SUBSCRIBERS):
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sink.bind(("127.0.0.1", 0))
        sinks.append(sink)
    ours, theirs = mp.Pipe()
    drain = mp.get_context("fork").Process(target=count, args=(sinks, theirs, load_core))
    drain.start()
    os.sched_setaffinity(0, {worker_core})
    sent, busy_s = forward(scenario, sinks, seconds)
    time.sleep(SETTLE_S)
    ours.send(None)
    delivered = ours.recv()
    drain.join()
    os.sched_setaffinity(0, {load_core, worker_core})
    return {
        "scenario": scenario.name,
        "forwarded_per_cpu_s": round(delivered / busy_s),
        "loss": 1 - delivered / sent,
    }


def main() -> None:
    """Run both, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [run(scenario, options.seconds) for scenario in SCENARIOS]
    for result in results:
        rate, loss = result["forwarded_per_cpu_s"], float(result["loss"])
        print(f"{result['scenario']:<40} {rate:>10,} packets per CPU second  loss {loss:.3%}")
    if options.json is not None:
        options.json.write_text(json.dumps({"aiortc": results}, indent=1))


if __name__ == "__main__":
    main()
