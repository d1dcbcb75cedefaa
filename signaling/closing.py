"""WebSocket close codes of every dialect, as listed in native/PROTOCOL.md section 9."""

from enum import IntEnum

MAX_REASON_BYTES = 123  # RFC 6455 section 5.5: 125 bytes of control frame less the code


class CloseCode(IntEnum):
    """RFC 6455 section 7.4; 4000 to 4999 are ours."""

    DONE = 1000
    BINARY = 1003
    RESTART = 1012
    PROTOCOL_ERROR = 4000
    UNAUTHORIZED = 4001
    JOIN_REFUSED = 4003
    NO_SESSION = 4004
    SESSION_ENDED = 4006
    SLOW_CONSUMER = 4008
    JOIN_TIMEOUT = 4010
    RATE_LIMITED = 4011
    INTERNAL = 4500


def fit_reason(text: str) -> str:
    """Cut a reason to what a close frame holds, never inside a character."""
    return text.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")
