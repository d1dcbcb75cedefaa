"""Who spoke when, and what of it is a turn."""

from __future__ import annotations

from sfu.core.ids import Identity, TrackId
from sfu.rooms.turns import LONGEST_TURN_S, Turn, TurnBoard, TurnKind, Voice

ALICE = Voice(TrackId(1), Identity("alice"), agent=False, joined_at=0.0)
BOB = Voice(TrackId(2), Identity("bob"), agent=False, joined_at=0.0)
AGENT = Voice(TrackId(9), Identity("agent"), agent=True, joined_at=1.0)


class Story:
    def __init__(self) -> None:
        self.board = TurnBoard()
        self.turns: list[Turn] = []

    def starts(self, voice: Voice, at: float) -> Story:
        self.turns += self.board.started(voice, at)
        return self

    def stops(self, voice: Voice, at: float) -> Story:
        self.turns += self.board.stopped(voice, at)
        return self

    def of(self, kind: TurnKind) -> list[tuple[str | None, float]]:
        return [(turn.person, round(turn.seconds, 3)) for turn in self.turns if turn.kind is kind]


def test_an_answer() -> None:
    story = Story().starts(ALICE, 2.0).stops(ALICE, 4.0).starts(AGENT, 4.8).stops(AGENT, 6.0)
    assert story.of(TurnKind.ANSWER) == [("alice", 0.8)]
    assert story.of(TurnKind.FIRST_AUDIO) == [(None, 3.8)]
    assert not story.of(TurnKind.INTERRUPTION)


def test_an_answer_that_began_before_the_end_was_known() -> None:
    story = Story().starts(ALICE, 2.0).starts(AGENT, 4.1).stops(ALICE, 4.0)
    assert story.of(TurnKind.ANSWER) == [("alice", 0.1)]


def test_only_the_first_words_are_the_answer() -> None:
    story = Story().starts(ALICE, 2.0).stops(ALICE, 4.0)
    story.starts(AGENT, 4.5).stops(AGENT, 5.0).starts(AGENT, 5.6)
    assert len(story.of(TurnKind.ANSWER)) == 1


def test_who_goes_on_has_not_ended() -> None:
    story = Story().starts(ALICE, 2.0).stops(ALICE, 4.0).starts(ALICE, 5.0).stops(ALICE, 6.0)
    assert story.starts(AGENT, 6.5).of(TurnKind.ANSWER) == [("alice", 0.5)]


def test_the_last_of_two_is_answered() -> None:
    story = Story().starts(ALICE, 1.0).starts(BOB, 2.0).stops(ALICE, 3.0).stops(BOB, 4.0)
    assert story.starts(AGENT, 4.5).of(TurnKind.ANSWER) == [("bob", 0.5)]


def test_much_later_is_no_answer() -> None:
    story = Story().starts(ALICE, 2.0).stops(ALICE, 4.0).starts(AGENT, 4.1 + LONGEST_TURN_S)
    assert not story.of(TurnKind.ANSWER)


def test_an_interruption() -> None:
    story = Story().starts(AGENT, 2.0).starts(ALICE, 3.0).stops(AGENT, 3.2)
    assert story.of(TurnKind.INTERRUPTION) == [("alice", 0.2)]


def test_an_agent_that_had_stopped_already_was_not_interrupted() -> None:
    story = Story().starts(AGENT, 2.0).starts(ALICE, 3.0).stops(AGENT, 2.9)
    assert not story.of(TurnKind.INTERRUPTION)


def test_an_agent_that_goes_on_was_talked_over() -> None:
    story = Story().starts(AGENT, 2.0).starts(ALICE, 3.0).stops(ALICE, 3.5).stops(AGENT, 9.0)
    assert not story.of(TurnKind.INTERRUPTION)


def test_another_stay_has_a_first_word_of_its_own() -> None:
    story = Story().starts(AGENT, 2.0).stops(AGENT, 3.0)
    story.board.left(AGENT.identity)
    again = Voice(TrackId(10), AGENT.identity, agent=True, joined_at=10.0)
    assert story.starts(again, 11.0).of(TurnKind.FIRST_AUDIO) == [(None, 1.0), (None, 1.0)]


def test_who_left_waits_for_no_answer() -> None:
    story = Story().starts(ALICE, 2.0).stops(ALICE, 3.0)
    story.board.left(ALICE.identity)
    assert not story.starts(AGENT, 3.5).of(TurnKind.ANSWER)
