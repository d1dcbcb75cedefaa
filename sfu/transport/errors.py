"""What can be wrong with a description. The peer's mistakes; nothing changed on our side."""

from __future__ import annotations

from sfu.core.errors import PeerError


class SdpError(PeerError):
    """The text is not SDP that we can read (RFC 8866), or is over a limit.

    `line` counts from 1; 0 means the text as a whole.
    """

    code = "invalid_sdp"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"SDP line {line}: {reason}" if line else f"SDP: {reason}")
        self.line = line
        self.reason = reason


class NegotiationError(PeerError):
    """The description is readable but cannot be agreed to. `section` names the mid, "" the whole."""

    code = "negotiation_failed"

    def __init__(self, section: str, reason: str) -> None:
        super().__init__(f"section {section}: {reason}" if section else reason)
        self.section = section
        self.reason = reason


class NoCommonCodecError(NegotiationError):
    """A section offers only codecs that are not enabled here."""

    code = "no_common_codec"

    def __init__(self, section: str, offered: tuple[str, ...], accepted: tuple[str, ...]) -> None:
        theirs, ours = ", ".join(offered) or "none", ", ".join(accepted) or "none"
        super().__init__(section, f"no common codec: offered are {theirs}; accepted are {ours}")
        self.offered = offered
        self.accepted = accepted
