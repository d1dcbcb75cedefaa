"""Messages of many values are refused, others read as they are."""

import pytest
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from signaling.json_bounds import MAX_VALUES
from signaling.livekit.bounds import parse, whole_number


def nested(count: int) -> rtc.SignalRequest:
    codec = rtc.SimulcastCodec(layers=[models.VideoLayer()] * (count // 2))
    return rtc.SignalRequest(add_track=rtc.AddTrackRequest(simulcast_codecs=[codec] * 2))


@pytest.mark.parametrize(
    "message",
    [
        rtc.SignalRequest(),
        rtc.SignalRequest(offer=rtc.SessionDescription(sdp="v=0", mid_to_track_id={"0": "a"})),
        rtc.SignalRequest(subscription=rtc.UpdateSubscription(track_sids=["TR_1"] * 4096)),
        rtc.SignalRequest(update_metadata=rtc.UpdateParticipantMetadata(attributes={"a": "b" * 500_000})),
        nested(MAX_VALUES - 4),
    ],
)
def test_what_is_meant_is_read(message: rtc.SignalRequest) -> None:
    assert parse(rtc.SignalRequest, message.SerializeToString()) == message


@pytest.mark.parametrize(
    "message",
    [
        rtc.SignalRequest(subscription=rtc.UpdateSubscription(track_sids=["x"] * (MAX_VALUES + 1))),
        rtc.SignalRequest(
            update_metadata=rtc.UpdateParticipantMetadata(
                attributes={str(n): "" for n in range(MAX_VALUES + 1)}
            )
        ),
        nested(MAX_VALUES + 4),
    ],
)
def test_a_crowd_is_refused(message: rtc.SignalRequest) -> None:
    with pytest.raises(DecodeError):
        parse(rtc.SignalRequest, message.SerializeToString())


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse(rtc.SignalRequest, b"\xff" * 10)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("7", 7),
        ("100", 100),
        ("0" * 5000 + "99", 99),
        ("101", None),
        ("1000000000", None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1_0", None),
        (" 1", None),
        ("\u0663", None),
    ],
)
def test_numbers_in_urls_are_bounded(text: str, number: int | None) -> None:
    assert whole_number(text, 100) == number
