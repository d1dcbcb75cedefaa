"""Which formats may be forwarded to each other: RFC 6184 section 8.2.2, RFC 9628 section 6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.core.codecs import Codec
from sfu.transport.sdp.formats import format_name, format_number, h264_profile, parse_fmtp


def number(codec: Codec, fmtp: str) -> int | None:
    return format_number(codec, parse_fmtp(fmtp))


@pytest.mark.parametrize(
    ("profile_level_id", "profile"),
    [
        ("42e01f", "constrained baseline"),
        ("42C02A", "constrained baseline"),
        ("4d801f", "constrained baseline"),
        ("58f01f", "constrained baseline"),
        ("42001f", "baseline"),
        ("4d001f", "main"),
        ("4d401f", "main"),
        ("58001f", "extended"),
        ("64001f", "high"),
        ("640c1f", "constrained high"),
        ("f4001f", "high 4:4:4 predictive"),
        ("ff001f", None),
        ("42e0", None),
        ("zzzzzz", None),
    ],
)
def test_h264_profile(profile_level_id: str, profile: str | None) -> None:
    assert h264_profile(profile_level_id) == profile


@pytest.mark.parametrize(
    ("codec", "one", "other"),
    [
        (
            Codec.H264,
            "profile-level-id=42e01f;packetization-mode=1",
            "packetization-mode=1;profile-level-id=42C02A",
        ),
        (Codec.H264, "packetization-mode=1", "packetization-mode=1;profile-level-id=42e01f"),
        (Codec.H264, "profile-level-id=42e01f", "Profile-Level-ID=42e01f; packetization-mode=0"),
        (Codec.VP9, "", "profile-id=0"),
        (Codec.AV1, "level-idx=5;profile=0;tier=0", "level-idx=9"),
        (Codec.OPUS, "minptime=10;useinbandfec=1", "stereo=1"),
        (Codec.VP8, "max-fs=12288;max-fr=60", ""),
        (Codec.H265, "level-id=93;profile-id=1", "level-id=180"),
    ],
)
def test_the_same_format(codec: Codec, one: str, other: str) -> None:
    assert number(codec, one) == number(codec, other) is not None


@pytest.mark.parametrize(
    ("codec", "one", "other"),
    [
        (Codec.H264, "packetization-mode=0", "packetization-mode=1"),
        (Codec.H264, "profile-level-id=42e01f", "profile-level-id=64001f"),
        (Codec.VP9, "profile-id=0", "profile-id=2"),
        (Codec.AV1, "profile=0", "profile=1"),
        (Codec.H265, "profile-id=1", "profile-id=2"),
    ],
)
def test_another_format(codec: Codec, one: str, other: str) -> None:
    assert number(codec, one) != number(codec, other)


@pytest.mark.parametrize(
    ("codec", "fmtp"),
    [
        (Codec.H264, "packetization-mode=2"),
        (Codec.H264, "profile-level-id=xyz"),
        (Codec.VP9, "profile-id=4"),
        (Codec.VP9, "profile-id=-1"),
        (Codec.AV1, "profile=99999999999999999999"),
    ],
)
def test_no_such_format(codec: Codec, fmtp: str) -> None:
    assert number(codec, fmtp) is None


@given(st.sampled_from(Codec), st.text(max_size=60))
def test_numbers_fit_in_16_bits_and_codecs_never_mix(codec: Codec, fmtp: str) -> None:
    found = number(codec, fmtp)
    assert format_name(codec, parse_fmtp(fmtp))
    if found is not None:
        assert 0 < found < 2**16
        assert all(found != number(other, "") for other in Codec if other is not codec)
