"""How many values a JSON text may hold, found before any parser builds them.

Two megabytes of `{},{},...` are half a million objects and take thirty times their own length in
memory, which the allocator may never give back. Values are counted by their marks; that builds nothing.
"""

import re

MAX_VALUES = 16_384
"""The largest message that is meant, an audience of 4096 names and tracks, has half as many."""

# Possessive, and an end of text closes the last string: linear whatever is inside.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BYTE_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def is_crowded(text: str | bytes) -> bool:
    """Whether a text, JSON or not, holds more than `MAX_VALUES` values.

    Counted are openings and commas outside of strings: an upper bound of values, less one. Never raises.
    """
    if isinstance(text, str):
        return _marks(text) > MAX_VALUES and _marks(_STRING.sub("", text)) > MAX_VALUES
    return _byte_marks(text) > MAX_VALUES and _byte_marks(_BYTE_STRING.sub(b"", text)) > MAX_VALUES


def _marks(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _byte_marks(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
