"""What LiveKit's clients are told about networks and speakers."""

from __future__ import annotations

from typing import Any

import pytest
from livekit.protocol import models, rtc

from sfu.core.ids import Mid, ParticipantSid, TrackSid
from sfu.core.quality import QualityClass
from sfu.core.shared import Shared
from sfu.dataplane.commands import LimitSending
from sfu.dataplane.events import AllocationReason
from sfu.participants.info import ParticipantQuality
from sfu.participants.sink import (
    QualityChanged,
    StreamStateChanged,
    SubscriptionUnbound,
    WantedLayer,
    WantedLayersChanged,
)
from signaling.livekit import parameters
from tests.support.domain import World
from tests.unit.livekit.support import Wire

TRACK, ALICE = TrackSid("TR_cam"), ParticipantSid("PA_alice")
LOW, MEDIUM, HIGH = models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH


@pytest.fixture
def alice() -> Wire:
    return Wire(World(), "alice").join()


def test_connection_quality(alice: Wire) -> None:
    worse = ParticipantQuality(ALICE, alice.token.identity, QualityClass.POOR, 2.2)
    alice.dialect.send(1, QualityChanged(Shared((worse,))))
    (update,) = alice.last("connection_quality").updates
    assert (update.participant_sid, update.quality) == (ALICE, models.ConnectionQuality.POOR)
    assert update.score == pytest.approx(2.2)


def test_a_connection_is_excellent_until_something_else_is_known(alice: Wire) -> None:
    bob = Wire(alice.world, "bob").join()
    sids = {wire.last("join").participant.sid for wire in (alice, bob)}
    for wire in (alice, bob):
        told = [item for update in wire.all("connection_quality") for item in update.updates]
        assert {item.participant_sid for item in told} == sids
        assert {item.quality for item in told} == {models.ConnectionQuality.EXCELLENT}


def stream(paused: bool) -> StreamStateChanged:
    reason = AllocationReason.PAUSED if paused else AllocationReason.LINK
    return StreamStateChanged(TRACK, ALICE, paused, 0 if paused else 180, reason, "why", 90_000, 50_000, 0)


def test_a_stream_that_pauses_and_comes_back(alice: Wire) -> None:
    for paused in (False, True, True, False, False):
        alice.dialect.send(1, stream(paused))
    states = [item.stream_states[0] for item in alice.all("stream_state_update")]
    assert [(item.track_sid, item.state) for item in states] == [
        (TRACK, rtc.StreamState.PAUSED),
        (TRACK, rtc.StreamState.ACTIVE),
    ]


def test_a_stream_that_ends_while_it_is_paused_is_forgotten(alice: Wire) -> None:
    for _ in range(2):
        alice.dialect.send(1, stream(True))
        alice.dialect.send(1, SubscriptionUnbound(TRACK, Mid("3")))
    assert len(alice.all("stream_state_update")) == 2, "the second time it is news again"


@pytest.mark.parametrize(
    ("layers", "enabled"),
    [
        ((True, True, False), [True, True, False]),
        ((False, False, False), [False, False, False]),
        ((True, False), [True, False, False]),
        ((True,), [True, True, True]),
        ((False,), [False, False, False]),
    ],
)
def test_wanted_layers(alice: Wire, layers: tuple[bool, ...], enabled: list[bool]) -> None:
    wanted = tuple(WantedLayer(rid, on) for rid, on in zip("qhf", layers, strict=False))
    alice.dialect.send(1, WantedLayersChanged(TRACK, "video/VP8", wanted))
    update = alice.last("subscribed_quality_update")
    assert update.track_sid == TRACK
    assert [item.quality for item in update.subscribed_qualities] == [LOW, MEDIUM, HIGH]
    assert [item.enabled for item in update.subscribed_qualities] == enabled
    (codec,) = update.subscribed_codecs
    assert codec.codec == "vp8"
    assert list(codec.qualities) == list(update.subscribed_qualities)


def test_whoever_pretends_to_speak_is_shown_for_a_while(alice: Wire) -> None:
    bob = Wire(alice.world, "bob").join()
    alice.ask(simulate=rtc.SimulateScenario(speaker_update=3))
    (speaker,) = bob.last("speakers_changed").speakers
    assert (speaker.sid, speaker.active) == (alice.last("join").participant.sid, True)
    alice.world.settle(4)
    (speaker,) = bob.last("speakers_changed").speakers
    assert not speaker.active


def test_whoever_wants_a_narrow_network_is_sent_less(alice: Wire) -> None:
    for bandwidth in (100_000, 0, -1, 2**62):
        alice.ask(simulate=rtc.SimulateScenario(subscriber_bandwidth=bandwidth))
    told = alice.world.plane.sent(LimitSending)
    assert [command.bitrate_bps for command in told] == [100_000, None]
    assert {command.transport for command in told} == alice.world.plane.transports.keys()
    assert alice.closed is None


def test_nothing_is_narrowed_that_is_not_agreed_yet(alice: Wire) -> None:
    bob = Wire(alice.world, "bob", single=False).join()
    bob.ask(simulate=rtc.SimulateScenario(subscriber_bandwidth=100_000))
    assert not alice.world.plane.sent(LimitSending)


def test_the_number_of_people_follows(alice: Wire) -> None:
    for name in ("bob", "eve"):
        Wire(alice.world, name).join()
    assert not alice.all("room_update")
    alice.world.settle(6)
    assert [item.room.num_participants for item in alice.all("room_update")] == [3]
    Wire(alice.world, "recorder", recorder=True, hidden=True).join()
    alice.world.settle(6)
    assert alice.last("room_update").room.active_recording
    assert alice.last("room_update").room.num_participants == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [({}, True), ({"subscriber_allow_pause": "0"}, False), ({"subscriber_allow_pause": "1"}, True)],
)
def test_a_client_may_refuse_pauses(query: dict[str, Any], expected: bool) -> None:
    assert parameters.from_query(query, "").may_pause is expected
