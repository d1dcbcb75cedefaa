"""The table of transport states."""

from __future__ import annotations

import pytest

from sfu.core.errors import IllegalTransitionError
from sfu.transport.lifecycle import TRANSITIONS, Lifecycle, Signal, State


def run(*signals: Signal) -> Lifecycle:
    lifecycle = Lifecycle()
    for signal in signals:
        lifecycle.handle(signal)
    return lifecycle


def test_a_call_with_a_gap() -> None:
    lifecycle = Lifecycle()
    signals = (
        Signal.NEGOTIATED,
        Signal.CHECKED,
        Signal.SECURED,
        Signal.CONSENT_LOST,
        Signal.NEGOTIATED,
        Signal.SECURED,
        Signal.CLOSED,
    )
    assert [(lifecycle.handle(signal), lifecycle.state) for signal in signals] == [
        (True, State.CONNECTING),
        (False, State.CONNECTING),
        (True, State.CONNECTED),
        (True, State.LOST),
        (False, State.LOST),
        (True, State.CONNECTED),
        (True, State.CLOSED),
    ]


@pytest.mark.parametrize("signal", list(Signal))
def test_late_news_changes_nothing(signal: Signal) -> None:
    lifecycle = run(Signal.NEGOTIATED, Signal.CLOSED)
    assert not lifecycle.handle(signal)
    assert lifecycle.state is State.CLOSED


def test_what_cannot_happen_raises() -> None:
    with pytest.raises(IllegalTransitionError):
        run(Signal.SECURED)


def test_every_agreed_state_knows_every_signal() -> None:
    known = {pair for pair in TRANSITIONS if pair[0] is not State.NEW}
    assert known == {(state, signal) for state in State if state is not State.NEW for signal in Signal}
