"""Every domain event becomes a frame that the protocol's own models read; what is shared is encoded once."""

import json
from typing import Any

import pytest

from sfu.core.codecs import Encryption, MediaKind, TrackSource
from sfu.core.ids import Identity, Mid, ParticipantSid, RoomName, RoomSid, SessionId, TrackSid
from sfu.core.shared import Shared
from sfu.dataplane.events import AllocationReason
from sfu.participants import sink
from sfu.participants.info import ParticipantInfo, ParticipantKind, ParticipantState, RoomInfo, Speaker
from sfu.participants.permissions import Permissions
from sfu.tracks.layers import LayerInfo
from sfu.tracks.track import TrackInfo
from signaling.native import encode, messages, values

TRACK = TrackInfo(
    sid=TrackSid("TR_1"),
    participant=ParticipantSid("PA_1"),
    identity=Identity("ada"),
    kind=MediaKind.VIDEO,
    source=TrackSource.SCREEN_SHARE,
    name="deck",
    mid="4",
    muted=False,
    mime="video/VP8",
    layers=(LayerInfo("q", 320, 180, 150_000), LayerInfo("f", 1280, 720, 1_700_000, active=True)),
    encryption=Encryption.GCM,
)
ADA = ParticipantInfo(
    sid=ParticipantSid("PA_1"),
    identity=Identity("ada"),
    name='Ada "é"',
    metadata="{}",
    attributes={"hand": "up"},
    kind=ParticipantKind.AGENT,
    state=ParticipantState.ACTIVE,
    permissions=Permissions(can_publish_sources=frozenset({TrackSource.MICROPHONE, TrackSource.CAMERA})),
    joined_at=1.5,
    version=3,
    tracks=(TRACK,),
)
ROOM = RoomInfo(
    sid=RoomSid("RM_1"),
    name=RoomName("standup"),
    metadata="",
    created_at=1.0,
    empty_timeout_s=300,
    departure_timeout_s=20,
    max_participants=4,
    num_participants=1,
    num_publishers=1,
    recording=True,
)
STATE = sink.JoinedState(
    session_id=SessionId("SE_1"),
    participant=ADA,
    room=Shared(ROOM),
    participants=Shared((Shared(ADA),)),
    answer_sdp="v=0\r\n",
    published=(sink.PublishedTrack(Mid("4"), "cid", TRACK),),
    bound=((TrackSid("TR_9"), Mid("2")),),
    resume_window_s=30.0,
)
HEAD = messages.JoinedHead(
    protocol=1,
    session_id="SE_1",
    answer="v=0\r\n",
    server=values.ServerInfo(version="1", node="local"),
    resume_window_s=30,
    ping_interval_s=10,
    ping_timeout_s=15,
)


def begin(news: sink.Joined | sink.Resumed) -> bytes:
    if isinstance(news, sink.Joined):
        return encode.with_state(HEAD, news.state)
    return encode.with_state(messages.ResumedHead(session_id="SE_1", answer=news.answer_sdp), news.state)


def frame(event: sink.DomainEvent, seq: int = 7) -> Any:
    data = encode.event(seq, event, begin)
    message = messages.SERVER_MESSAGE.validate_json(data)
    assert json.loads(data)["seq"] == seq
    assert data.count(b'"seq"') == 1
    return message


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (sink.Joined(STATE), "joined"),
        (sink.Resumed(None, None), "resumed"),
        (sink.Resumed(STATE, "v=0\r\n"), "resumed"),
        (sink.ParticipantsChanged(Shared(sink.ParticipantsChange((), (), ()))), "participants"),
        (sink.RoomUpdated(Shared(ROOM)), "room"),
        (sink.SpeakersChanged(Shared(())), "speakers"),
        (sink.QualityChanged(Shared(())), "quality"),
        (
            sink.StreamStateChanged(
                TRACK.sid, ADA.sid, True, 0, AllocationReason.PAUSED, "paused: …", None, 40_000, 71_000
            ),
            "stream_state",
        ),
        (
            sink.WantedLayersChanged(TRACK.sid, "video/VP8", (sink.WantedLayer("q", True),)),
            "wanted_layers",
        ),
        (sink.SubscriptionBound(TRACK.sid, ADA.sid, Mid("3")), "subscribed"),
        (sink.SubscriptionUnbound(TRACK.sid, Mid("3")), "unsubscribed"),
        (sink.SectionsNeeded(1, 2), "sections_needed"),
        (sink.SubscriptionFailed(TRACK.sid, "no_common_codec", "AV1"), "subscription_failed"),
        (sink.PermissionsChanged(Permissions(can_publish=False)), "permissions"),
        (sink.TrackMutedByServer(TRACK.sid, True), "muted"),
        (sink.TrackUnpublishedByServer(TRACK.sid, "permission_denied", "no"), "unpublished"),
        (sink.MediaStateChanged("connected"), "transport"),
        (sink.DataReceived(None, "chat", b"\x00\xff", True), "data"),
        (sink.DataTracksChanged({}), "data_tracks"),
        (sink.Leave(sink.LeaveCode.REMOVED, "bye", sink.Reconnect.NO), "leave"),
    ],
)
def test_every_event_is_a_numbered_message(event: sink.DomainEvent, kind: str) -> None:
    assert frame(event).type == kind


@pytest.mark.parametrize("code", list(sink.LeaveCode))
def test_every_leave_code_is_documented(code: sink.LeaveCode) -> None:
    from importlib.resources import files

    assert f"| `{code.value}` |" in files("signaling.native").joinpath("PROTOCOL.md").read_text()


def test_joined_holds_the_whole_state() -> None:
    joined = frame(sink.Joined(STATE))
    assert joined.state.room.name == "standup"
    assert joined.state.participant == joined.state.participants[0] == encode.participant_info(ADA)
    assert joined.state.participant.name == 'Ada "é"'
    assert joined.state.tracks[0].mid == "4"
    assert joined.state.subscriptions[0].track_id == "TR_9"
    track = joined.state.tracks[0].track
    assert (track.source, track.simulcast, track.height, track.encryption) == (
        "screen_share",
        True,
        720,
        "gcm",
    )
    assert [layer.active for layer in track.layers] == [False, True]
    assert joined.state.participant.permissions.can_publish_sources == ("camera", "microphone")


def test_a_change_holds_who_left_joined_and_changed() -> None:
    gone = sink.ParticipantLeft(ParticipantSid("PA_2"), Identity("bob"), sink.LeaveCode.SIGNAL_LOST)
    change = sink.ParticipantsChange((gone,), (Shared(ADA),), (Shared(ADA),))
    message = frame(sink.ParticipantsChanged(Shared(change)))
    assert message.left[0].reason == "signal_lost"
    assert message.joined == message.updated == (encode.participant_info(ADA),)


def test_what_goes_to_many_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    original = encode.participant_info

    def counted(participant: ParticipantInfo) -> values.ParticipantInfo:
        calls.append(participant.sid)
        return original(participant)

    monkeypatch.setattr(encode, "participant_info", counted)
    ada = Shared(ADA)
    change = sink.ParticipantsChanged(Shared(sink.ParticipantsChange((), (ada,), (ada,))))
    frames = {encode.event(seq, change, begin) for seq in range(100)}
    assert len(frames) == 100
    assert calls == ["PA_1"]


def test_loudness_is_a_share_with_three_digits() -> None:
    speaker = Speaker(ParticipantSid("PA_1"), Identity("ada"), TrackSid("TR_1"), 0.123456)
    message = frame(sink.SpeakersChanged(Shared((speaker,))))
    assert message.speakers[0].level == 0.123
