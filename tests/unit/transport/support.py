"""Offers written short, and what an answer needs besides."""

from __future__ import annotations

import itertools
from pathlib import Path

from sfu.core.ids import SlotId
from sfu.transport.plan import SlotIds
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Negotiation
from sfu.transport.sdp.candidates import host_candidate
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import parse
from sfu.transport.sdp.negotiate import answer

DATA = Path(__file__).parents[2] / "wire" / "data"
CAPTURED = sorted(path.stem for path in DATA.glob("*.sdp"))

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)

LOCAL = LocalDescription(
    ufrag="00serverserverse",
    pwd="p" * 24,
    fingerprint="sha-256 " + ":".join(["CD"] * 32),
    candidates=(host_candidate("192.0.2.1", 7882),),
)


def captured(name: str) -> str:
    """A real offer of another stack."""
    return (DATA / f"{name}.sdp").read_bytes().decode()


def audio(
    mid: str = "0", *lines: str, direction: str = "recvonly", port: int = 9, formats: str = "111"
) -> str:
    """An Opus section."""
    return "\n".join(
        [
            f"m=audio {port} UDP/TLS/RTP/SAVPF {formats}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            f"a={direction}",
            "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            *lines,
        ]
    )


def video(
    mid: str = "1", *lines: str, direction: str = "recvonly", port: int = 9, formats: str = "96 97"
) -> str:
    """A VP8 section with RTX."""
    return "\n".join(
        [
            f"m=video {port} UDP/TLS/RTP/SAVPF {formats}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            f"a={direction}",
            "a=rtcp-mux",
            "a=rtpmap:96 VP8/90000",
            "a=rtcp-fb:96 nack",
            "a=rtcp-fb:96 nack pli",
            "a=rtcp-fb:96 goog-remb",
            "a=rtpmap:97 rtx/90000",
            "a=fmtp:97 apt=96",
            *lines,
        ]
    )


def data(mid: str = "2", *lines: str) -> str:
    """The SCTP section."""
    return "\n".join(
        [
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            "a=sctp-port:5000",
            *lines,
        ]
    )


def session(
    *sections: str,
    bundle: str | None = None,
    ufrag: str = "peer",
    fingerprint: str = FINGERPRINT,
    setup: str = "actpass",
    extra: tuple[str, ...] = (),
) -> str:
    """A description of these sections; in one BUNDLE group unless told."""
    if bundle is None:
        mids = [line[6:] for text in sections for line in text.split("\n") if line.startswith("a=mid:")]
        bundle = " ".join(mids)
    lines = ["v=0", "o=- 4611 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if bundle:
        lines.append(f"a=group:BUNDLE {bundle}")
    lines += [f"a=ice-ufrag:{ufrag}", "a=ice-pwd:" + "w" * 22]
    if fingerprint:
        lines.append(f"a=fingerprint:{fingerprint}")
    if setup:
        lines.append(f"a=setup:{setup}")
    return "\r\n".join("\n".join([*lines, *extra, *sections]).split("\n")) + "\r\n"


class Slots:
    """Hands out slots and counts them."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = itertools.count(first)
        self.made = 0

    def __call__(self) -> SlotIds:
        self.made += 1
        number = next(self._numbers)
        return SlotIds(SlotId(number), ssrc=1000 * number, rtx_ssrc=1000 * number + 1)


def negotiate(
    text: str,
    agreed: Agreed | None = None,
    *,
    local: LocalDescription = LOCAL,
    policy: CodecPolicy | None = None,
    slots: Slots | None = None,
    **options: object,
) -> Negotiation:
    """Answer an offer in text."""
    return answer(
        agreed or Agreed(),
        parse(text),
        local,
        policy or CodecPolicy(),
        slots or Slots(),
        **options,  # type: ignore[arg-type]
    )
