"""The server's pictures become handles and events, whatever order and repetition they come in."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sfu.agents import events
from sfu.agents.roster import Roster
from sfu.agents.tracks import RoomControl
from signaling.native.messages import Participants, State
from signaling.native.values import Binding, Departure, ParticipantInfo, RoomInfo, TrackInfo


def track(number: int, identity: str = "bob", **changes: Any) -> TrackInfo:
    fields: dict[str, Any] = {"kind": "audio", "source": "microphone", **changes}
    return TrackInfo(id=f"TR_{number}", participant_id=f"PA_{identity}", identity=identity, **fields)


def bob(version: int = 1, *tracks: TrackInfo, sid: str = "PA_bob", **changes: Any) -> ParticipantInfo:
    return ParticipantInfo(id=sid, identity="bob", version=version, tracks=tracks, **changes)


class Seen:
    """A roster and the events it gave."""

    def __init__(self) -> None:
        self.events: list[events.RoomEvent] = []
        self.roster = Roster(cast("RoomControl", None), self.events.append)
        self.roster.own_id = "PA_me"

    def names(self) -> list[str]:
        names = [event.__class__.__name__ for event in self.events]
        self.events.clear()
        return names


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_a_participant_with_tracks(seen: Seen) -> None:
    seen.roster.apply(Participants(joined=(bob(1, track(1)),)))
    assert seen.names() == ["ParticipantJoined", "TrackPublished"]
    seen.roster.apply(Participants(updated=(bob(2, track(1, muted=True), track(2)),)))
    assert seen.names() == ["TrackMuted", "TrackPublished"]
    seen.roster.apply(Participants(updated=(bob(3, track(2), name="Bob"),)))
    assert seen.names() == ["ParticipantUpdated", "TrackUnpublished"]
    seen.roster.apply(Participants(left=(Departure(id="PA_bob", identity="bob", reason="client_left"),)))
    assert seen.names() == ["TrackUnpublished", "ParticipantLeft"]
    assert not seen.roster.tracks
    assert not seen.roster.participants


def test_repeats_stale_pictures_ourselves_and_strangers(seen: Seen) -> None:
    me = ParticipantInfo(id="PA_me", identity="me")
    seen.roster.apply(Participants(joined=(bob(5, track(1)), me)))
    seen.names()
    gone = Departure(id="PA_x", identity="stranger", reason="removed")
    older = Departure(id="PA_older", identity="bob", reason="duplicate_identity")
    seen.roster.apply(Participants(left=(gone, older), joined=(bob(5, track(1)),), updated=(bob(4), me)))
    assert seen.names() == []
    assert set(seen.roster.tracks) == {"TR_1"}


def test_an_identity_that_comes_back(seen: Seen) -> None:
    seen.roster.apply(Participants(joined=(bob(9, track(1)),)))
    seen.names()
    seen.roster.apply(Participants(joined=(bob(1, track(2), sid="PA_new"),)))
    assert seen.names() == ["TrackUnpublished", "ParticipantLeft", "ParticipantJoined", "TrackPublished"]


def test_binding(seen: Seen) -> None:
    seen.roster.apply(Participants(joined=(bob(1, track(1), track(2)),)))
    seen.names()
    seen.roster.bind("TR_1", "0")
    seen.roster.bind("TR_1", "0")
    seen.roster.bind("TR_unknown", "1")
    assert seen.names() == ["TrackSubscribed"]
    seen.roster.bind("TR_2", "0")
    assert seen.names() == ["TrackUnsubscribed", "TrackSubscribed"]
    assert seen.roster.by_mid["0"].id == "TR_2"
    seen.roster.unbind("TR_1")
    seen.roster.unbind("TR_2")
    assert seen.names() == ["TrackUnsubscribed"]
    assert not seen.roster.by_mid


def test_a_whole_new_state(seen: Seen) -> None:
    carol = ParticipantInfo(id="PA_carol", identity="carol")
    seen.roster.apply(Participants(joined=(bob(1, track(1), track(2)), carol)))
    seen.roster.bind("TR_1", "0")
    seen.roster.bind("TR_2", "1")
    seen.names()
    state = State(
        room=RoomInfo(id="RM_1", name="r"),
        participant=ParticipantInfo(id="PA_me", identity="me"),
        participants=(bob(2, track(1), track(3)),),
        subscriptions=(Binding(track_id="TR_1", mid="0"), Binding(track_id="TR_3", mid="1")),
    )
    seen.roster.replace(state)
    assert set(seen.roster.participants) == {"bob"}
    assert {mid: bound.id for mid, bound in seen.roster.by_mid.items()} == {"0": "TR_1", "1": "TR_3"}
    names = seen.names()
    assert names.count("TrackSubscribed") == 1
    assert "ParticipantLeft" in names
