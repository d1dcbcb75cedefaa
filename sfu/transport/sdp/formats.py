"""One number for a codec with its format parameters: equal numbers may be forwarded to each other.

The number is computed, not handed out: the same on every node, and no peer can make the set of numbers grow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sfu.core.codecs import Codec
from sfu.transport.sdp.grammar import read_number

_FAMILY = {
    Codec.OPUS: 1,
    Codec.RED: 2,
    Codec.VP8: 3,
    Codec.H264: 4,
    Codec.VP9: 5,
    Codec.AV1: 6,
    Codec.H265: 7,
}

# RFC 6184 table 5: profile_idc, bits of profile_iop that count, their value, name.
_H264_PROFILES = (
    (0x42, 0x4F, 0x40, "constrained baseline"),
    (0x4D, 0x8F, 0x80, "constrained baseline"),
    (0x58, 0xCF, 0xC0, "constrained baseline"),
    (0x42, 0x4F, 0x00, "baseline"),
    (0x58, 0xCF, 0x80, "baseline"),
    (0x4D, 0xAF, 0x00, "main"),
    (0x58, 0xCF, 0x00, "extended"),
    (0x64, 0xFF, 0x00, "high"),
    (0x64, 0xFF, 0x0C, "constrained high"),
    (0x6E, 0xFF, 0x00, "high 10"),
    (0xF4, 0xFF, 0x00, "high 4:4:4 predictive"),
)
_H264_NAMES = tuple(dict.fromkeys(name for *_, name in _H264_PROFILES))
_H264_DEFAULT = "42e01f"  # what WebRTC stacks assume; RFC 6184 would say baseline level 1
_HEX6 = re.compile(r"[0-9a-fA-F]{6}")

_PARAMETERS: dict[Codec, tuple[tuple[str, int, int], ...]] = {
    # Name, default, maximum. RFC 9628 section 6; AV1 RTP section 7.2.2; RFC 7798 section 7.1.
    Codec.VP9: (("profile-id", 0, 3),),
    Codec.AV1: (("profile", 0, 2),),
    Codec.H265: (("tier-flag", 0, 1), ("profile-id", 1, 31)),
}


def parse_fmtp(text: str) -> dict[str, str]:
    """`name=value;name=value` as a mapping, names in lower case; a part without `=` maps to ""."""
    parameters: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        if name:
            parameters.setdefault(name.strip().lower(), value.strip())
    return parameters


def format_number(codec: Codec, parameters: Mapping[str, str]) -> int | None:
    """The number of a codec with format parameters, 16 bits; None when the parameters make no sense.

    What does not change the bitstream's format is left out: H.264 and AV1 levels, Opus preferences.

    Args:
        codec: Which.
        parameters: As from `parse_fmtp`; missing ones have the defaults of the payload's RFC.
    """
    if codec is Codec.H264:
        variant = _h264_variant(parameters)
        if variant is None:
            return None
    else:
        variant = 0
        for name, default, maximum in _PARAMETERS.get(codec, ()):
            number = read_number(parameters.get(name, str(default)), maximum)
            if number is None:
                return None
            variant = variant * (maximum + 1) + number
    return _FAMILY[codec] << 8 | variant


def format_name(codec: Codec, parameters: Mapping[str, str]) -> str:
    """As people read it in an error: `H264 constrained baseline mode 1`, `VP9 profile 2`."""
    name = codec.value.upper() if codec is not Codec.OPUS else "Opus"
    if codec is Codec.H264:
        profile = h264_profile(parameters.get("profile-level-id", _H264_DEFAULT)) or "unknown profile"
        return f"{name} {profile} mode {parameters.get('packetization-mode', '0')}"
    if codec is Codec.VP9 and parameters.get("profile-id", "0") != "0":
        return f"{name} profile {parameters['profile-id']}"
    return name


def h264_profile(profile_level_id: str) -> str | None:
    """Name of the profile in a `profile-level-id` (RFC 6184 section 8.1); None when there is none such."""
    if not _HEX6.fullmatch(profile_level_id):
        return None
    idc, iop = int(profile_level_id[:2], 16), int(profile_level_id[2:4], 16)
    for wanted, mask, value, name in _H264_PROFILES:
        if idc == wanted and iop & mask == value:
            return name
    return None


def _h264_variant(parameters: Mapping[str, str]) -> int | None:
    # Mode and profile are symmetric (RFC 6184 section 8.2.2); the level may differ per direction.
    mode = read_number(parameters.get("packetization-mode", "0"), 1)  # interleaved (2) is not WebRTC
    profile = h264_profile(parameters.get("profile-level-id", _H264_DEFAULT))
    if mode is None or profile is None:
        return None
    return _H264_NAMES.index(profile) << 1 | mode
