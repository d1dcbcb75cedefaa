import pytest

from sfu.core import errors
from sfu.core.codecs import Codec, MediaKind, TrackSource
from sfu.core.ids import TrackSid
from sfu.core.shared import Shared
from sfu.core.units import Bitrate, DataSize


def test_units() -> None:
    assert Bitrate.kbps(1.5) == Bitrate(1500)
    assert str(Bitrate.kbps(600)) == "600 kbit/s"
    assert str(DataSize.kib(2)) == "2 KiB"
    assert str(DataSize(100)) == "100 B"
    assert Bitrate(1) < Bitrate(2)
    for wrong in (Bitrate, DataSize):
        with pytest.raises(ValueError, match="negative"):
            wrong(-1)


def test_mime_types_as_clients_spell_them() -> None:
    assert [codec.mime for codec in (Codec.OPUS, Codec.VP8, Codec.AV1)] == [
        "audio/opus",
        "video/VP8",
        "video/AV1",
    ]


def test_kind_of_a_source() -> None:
    assert TrackSource.SCREEN_SHARE_AUDIO.kind is MediaKind.AUDIO
    assert TrackSource.SCREEN_SHARE.kind is MediaKind.VIDEO
    assert TrackSource.UNKNOWN.kind is None


def test_every_error_has_a_code_and_belongs_to_somebody() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    kinds = [kind for kind in found if issubclass(kind, errors.AirsideError)]
    assert len(kinds) > 15
    for kind in kinds:
        assert kind.code
        assert kind.code == kind.code.lower()
    assert issubclass(errors.RoomFullError, errors.PeerError)
    assert issubclass(errors.DrainingError, errors.ServerError)


def test_codec_mismatch_names_both_sides() -> None:
    error = errors.CodecMismatchError(TrackSid("TR_1"), ("video/VP8",), ("video/AV1", "video/H264"))
    assert error.text == "track TR_1 is published as video/VP8; the subscriber accepts video/AV1, video/H264"


def test_shared_value_is_encoded_once_per_dialect() -> None:
    calls: list[str] = []

    def encode(value: str) -> bytes:
        calls.append(value)
        return value.encode()

    shared = Shared("state")
    assert shared.encoded("a", encode) is shared.encoded("a", encode)
    shared.encoded("b", encode)
    assert calls == ["state", "state"]
