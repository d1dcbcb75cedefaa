"""Times the steps of a join and reports them."""

from __future__ import annotations

from sfu.core.observer import JoinStep
from sfu.participants.participant import Participant
from sfu.rooms.context import Context


def step(context: Context, member: Participant, name: JoinStep, at: float | None = None) -> None:
    """A step ended, now or at the given monotonic second."""
    seconds = member.trace.finish(name, context.clock.monotonic() if at is None else at)
    if seconds is not None:
        context.observer.join_step(name, seconds)


def close(context: Context, member: Participant) -> None:
    """No further step will come."""
    if not member.trace.closed:
        member.trace.closed = True
        context.observer.join_finished(member.trace)


def first_media(context: Context, member: Participant) -> None:
    """A packet of it, or for it, flowed: the join is complete."""
    if not member.trace.closed:
        step(context, member, JoinStep.FIRST_MEDIA)
        close(context, member)
