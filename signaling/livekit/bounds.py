"""What clients say, within bounds: protobuf of few enough values, and numbers in URLs.

Two megabytes can be a million empty messages. The parser itself keeps them small; each one that Python looks
at is an object, so nobody looks at them.
"""

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from signaling.json_bounds import MAX_VALUES

M = TypeVar("M", bound=Message)


def parse(kind: type[M], data: bytes) -> M:
    """The message. Raises DecodeError, also when its lists and maps hold more than `MAX_VALUES` values."""
    message = kind.FromString(data)
    if _left(message, MAX_VALUES) < 0:
        raise DecodeError(f"more than {MAX_VALUES} values in one message")
    return message


def whole_number(text: str, most: int) -> int | None:
    """A decimal number from 0 to `most` in ASCII digits; None: the text is none. Its length costs nothing."""
    if not text.isascii() or not text.isdecimal() or len(text.lstrip("0")) > len(str(most)):
        return None
    number = int(text.lstrip("0") or "0")
    return number if number <= most else None


def _left(message: Message, left: int) -> int:
    """`left` less all values in lists and maps of the message; negative as soon as that is clear."""
    for _, value in message.ListFields():
        if isinstance(value, Message):
            left = _left(value, left)
        elif not isinstance(value, str | bytes | int | float):
            left -= len(value)
            if left >= 0:
                for item in value.values() if isinstance(value, Mapping) else value:
                    if not isinstance(item, Message):
                        break
                    left = _left(item, left)
        if left < 0:
            break
    return left
