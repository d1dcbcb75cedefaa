"""The difference of what is applied and what is planned, as commands to the packet plane. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfu.core.ids import SlotId
from sfu.dataplane.commands import Subscribe, Unsubscribe, UpdateSubscription
from sfu.router.plan import Assignment, RoutePlan


@dataclass(frozen=True, slots=True)
class Difference:
    """What to tell the plane, and what changed hands."""

    commands: tuple[Subscribe | Unsubscribe | UpdateSubscription, ...]
    unbound: tuple[tuple[SlotId, Assignment], ...]
    """Slots that lost their track; they may have another now."""
    bound: tuple[tuple[SlotId, Assignment], ...]


def reconcile(applied: Mapping[SlotId, Assignment], planned: RoutePlan) -> Difference:
    """Commands that lead from `applied` to the plan. With both equal, none: it may run at any time."""
    commands: list[Subscribe | Unsubscribe | UpdateSubscription] = []
    unbound: list[tuple[SlotId, Assignment]] = []
    bound: list[tuple[SlotId, Assignment]] = []
    for slot, old in applied.items():
        new = planned.assignments.get(slot)
        if new is None or new.track != old.track:
            unbound.append((slot, old))
        if new is None:
            commands.append(Unsubscribe(slot))
    for slot, new in planned.assignments.items():
        before = applied.get(slot)
        if before is None or before.track != new.track:
            # Over whatever it carried: one switch in the engine, no gap.
            commands.append(Subscribe(slot, new.track, new.wish))
            bound.append((slot, new))
        elif before.wish != new.wish:
            commands.append(UpdateSubscription(slot, new.wish))
    return Difference(tuple(commands), tuple(unbound), tuple(bound))
