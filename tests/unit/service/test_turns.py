"""Edges of speech from the plane become turns in the journal and in the figures."""

from __future__ import annotations

import pytest

from sfu.core.codecs import TrackSource
from sfu.core.ids import RoomId, TrackId, WorkerId
from sfu.dataplane.commands import TransportSource
from sfu.dataplane.events import Speech
from sfu.participants.happenings import Kind
from sfu.participants.info import ParticipantKind
from tests.support.domain import Client, World


@pytest.fixture
def world() -> World:
    return World()


def speaker(world: World, name: str, kind: ParticipantKind) -> tuple[Client, TrackId]:
    client = world.client(name)
    client.join(client.send_in(TrackSource.MICROPHONE), kind=kind).connect()
    for track, command in world.plane.tracks.items():
        if isinstance(command.source, TransportSource) and command.source.transport == client.transport:
            return client, track
    raise AssertionError("no track")


def edge(world: World, track: TrackId, speaking: bool, ago_s: float = 0.0) -> None:
    world.plane.emit(Speech(WorkerId(0), RoomId(1), track, speaking, ago_s))


def test_an_answer_and_an_interruption(world: World) -> None:
    alice, question = speaker(world, "alice", ParticipantKind.STANDARD)
    _, answer = speaker(world, "helper", ParticipantKind.AGENT)
    edge(world, question, True)
    world.settle(2.3)
    edge(world, question, False, ago_s=0.3)
    world.settle(0.5)
    edge(world, answer, True, ago_s=0.02)
    world.settle(1.0)
    edge(world, question, True)
    world.settle(0.5)
    edge(world, answer, False, ago_s=0.3)
    measured = {kind: round(seconds, 3) for kind, seconds in world.observer.turns}
    assert measured["answer"] == 0.78
    assert measured["interruption"] == 0.2
    assert "first_audio" in measured
    turns = [entry for _, entry in world.service.journal.after(0, 100) if entry.kind is Kind.AGENT_TURN]
    assert [turn.details["kind"] for turn in turns if turn.details] == [
        "first_audio",
        "answer",
        "interruption",
    ]
    assert turns[1].participant is not None
    assert turns[1].participant.identity == "helper"
    assert turns[1].details is not None
    assert turns[1].details["person"] == alice.identity


def test_a_voice_that_has_gone_says_nothing(world: World) -> None:
    alice, question = speaker(world, "alice", ParticipantKind.STANDARD)
    edge(world, question, True)
    alice.session.leave()
    world.settle()
    edge(world, question, False)
    assert not world.observer.turns
