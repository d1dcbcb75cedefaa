import itertools

import pytest

from sfu.core.errors import IllegalTransitionError
from sfu.participants.info import ParticipantState
from sfu.participants.lifecycle import TRANSITIONS, Lifecycle, Signal


def test_a_whole_life() -> None:
    life = Lifecycle()
    states = [life.state]
    for signal in (Signal.CONNECTED, Signal.ENDED, Signal.RELEASED):
        assert life.handle(signal)
        states.append(life.state)
    assert states == list(ParticipantState)


def test_reconnecting_is_no_change() -> None:
    life = Lifecycle()
    life.handle(Signal.CONNECTED)
    assert not life.handle(Signal.CONNECTED)
    assert life.present


@pytest.mark.parametrize(("state", "signal"), list(itertools.product(ParticipantState, Signal)))
def test_missing_entry_raises_and_changes_nothing(state: ParticipantState, signal: Signal) -> None:
    life = Lifecycle()
    life.state = state
    if (state, signal) in TRANSITIONS:
        life.handle(signal)
    else:
        with pytest.raises(IllegalTransitionError):
            life.handle(signal)
        assert life.state is state


def test_everybody_can_end() -> None:
    ends = {state for state, signal in TRANSITIONS if signal is Signal.ENDED}
    assert ends == {ParticipantState.JOINING, ParticipantState.ACTIVE}
