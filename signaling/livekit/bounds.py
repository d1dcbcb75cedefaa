"""Protobuf of clients with few enough values: two megabytes can be a million empty messages.

The parser itself keeps them small; each one that Python looks at is an object, so nobody looks at them.
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
