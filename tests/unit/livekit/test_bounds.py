"""Messages of many values are refused, others read as they are."""

import pytest
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from signaling.json_bounds import MAX_VALUES
from signaling.livekit.bounds import parse


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
