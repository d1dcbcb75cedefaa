//! What waits for its turn: retransmissions first, then video by importance.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Header, PacketClass};
use crate::ids::SlotId;

/// Retransmissions, then video by importance.
const QUEUES: usize = 1 + IMPORTANCES;
const IMPORTANCES: usize = 3;
/// More packets than this are not sent to complete a frame.
const MAX_REST: usize = 2;

/// Where a packet waits, from [`super::Pacer::admit`] to [`super::Pacer::queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    queue: usize,
    pub(super) key: bool,
}

#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) header: Header,
    /// It is part of a keyframe.
    pub(super) key: bool,
    pub(super) pushed: Instant,
    pub(super) item: T,
}

/// Of one transport. Packets of one slot and class keep their order.
#[derive(Debug)]
pub(super) struct Queues<T> {
    queues: [VecDeque<Waiting<T>>; QUEUES],
    /// Ends of frames that have begun to leave, and keyframes that have room: they go first, whatever
    /// is held.
    ends: VecDeque<Waiting<T>>,
    bytes: usize,
    packets: usize,
}

impl<T> Queues<T> {
    pub(super) fn new() -> Self {
        Self {
            queues: std::array::from_fn(|_| VecDeque::new()),
            ends: VecDeque::new(),
            bytes: 0,
            packets: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Packets.
    pub(super) fn len(&self) -> usize {
        self.packets
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the packet was pushed that has waited longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.queues.iter().filter_map(VecDeque::front).map(|waiting| waiting.pushed).min()
    }

    /// Something of this slot waits.
    pub(super) fn holds(&self, slot: SlotId) -> bool {
        self.queues.iter().flatten().any(|waiting| waiting.header.slot == slot)
    }

    /// Where a packet waits: behind those of its slot that wait already, else by importance.
    pub(super) fn place(&self, header: &Header, key: bool) -> Place {
        if header.class == PacketClass::Retransmission {
            return Place { queue: 0, key };
        }
        let importance = usize::from(header.importance).min(IMPORTANCES - 1);
        let same = |queue: &usize| {
            self.queues[*queue].iter().any(|waiting| waiting.header.slot == header.slot)
        };
        let queue = (1..QUEUES).find(same).unwrap_or(QUEUES - 1 - importance);
        Place { queue, key }
    }

    pub(super) fn push(&mut self, place: Place, waiting: Waiting<T>) {
        self.bytes += waiting.header.size;
        self.packets += 1;
        self.queues[place.queue].push_back(waiting);
    }

    /// The next in turn.
    pub(super) fn pop(&mut self) -> Option<Waiting<T>> {
        let first = || self.queues.iter_mut().find_map(VecDeque::pop_front);
        let waiting = self.ends.pop_front().or_else(first)?;
        self.forget(&waiting);
        Some(waiting)
    }

    /// The next in turn of such slots.
    pub(super) fn pop_first(&mut self, of: impl Fn(SlotId) -> bool) -> Option<Waiting<T>> {
        let such = |waiting: &Waiting<T>| of(waiting.header.slot);
        let found = |queue: &mut VecDeque<_>| queue.remove(queue.iter().position(such)?);
        let waiting = self.ends.pop_front().or_else(|| self.queues.iter_mut().find_map(found))?;
        self.forget(&waiting);
        Some(waiting)
    }

    /// The slot to drop: of the least importance, the longest queue. Without `keys_too` only one
    /// that has no keyframe waiting.
    pub(super) fn least_important(&self, keys_too: bool) -> Option<SlotId> {
        self.queues.iter().rev().find_map(|queue| {
            let of = |slot: SlotId| queue.iter().filter(move |w| w.header.slot == slot);
            let slots = queue.iter().map(|waiting| waiting.header.slot);
            slots
                .filter(|slot| keys_too || !of(*slot).any(|waiting| waiting.key))
                .max_by_key(|slot| of(*slot).map(|waiting| waiting.header.size).sum::<usize>())
        })
    }

    /// Some frame is to be completed.
    pub(super) fn is_ending(&self) -> bool {
        !self.ends.is_empty()
    }

    /// It has begun to leave, and what is left of it is so little that it waits for nothing.
    pub(super) fn is_urgent(&self) -> bool {
        self.ends.front().is_some_and(|waiting| !waiting.key)
    }

    /// When the first packet of a slot was pushed that waits.
    pub(super) fn since(&self, slot: SlotId) -> Option<Instant> {
        let of = self.queues.iter().flatten().filter(|waiting| waiting.header.slot == slot);
        of.map(|waiting| waiting.pushed).min()
    }

    /// Of a whole keyframe that waits: its slot, and how many bytes it has.
    pub(super) fn keyframe(&self) -> Option<(SlotId, usize)> {
        let keys = || self.queues.iter().flatten().filter(|waiting| waiting.key);
        let slot = keys().find(|waiting| waiting.header.end)?.header.slot;
        let own = keys().filter(|waiting| waiting.header.slot == slot);
        Some((slot, own.map(|waiting| waiting.header.size).sum()))
    }

    /// This slot's keyframe goes first, whatever is held.
    pub(super) fn advance_keyframe(&mut self, slot: SlotId) {
        for queue in &mut self.queues {
            let of = |waiting: &Waiting<T>| waiting.key && waiting.header.slot == slot;
            while let Some(at) = queue.iter().position(of) {
                self.ends.extend(queue.remove(at));
            }
        }
    }

    /// Drops all of a slot but a short rest of a frame that has begun to leave; how many packets.
    pub(super) fn end_slot(&mut self, slot: SlotId) -> usize {
        let of = |waiting: &Waiting<T>| waiting.header.slot == slot;
        let queue = self.queues[1..].iter_mut().find(|queue| queue.iter().any(of));
        let mut rest = Vec::new();
        if let Some(queue) = queue {
            let frame = queue.iter().filter(|waiting| of(waiting)).take(MAX_REST);
            let end = frame.clone().position(|waiting| waiting.header.end);
            let begun = queue.iter().find(|waiting| of(waiting)).is_some_and(|w| !w.header.start);
            for _ in 0..end.filter(|_| begun).map_or(0, |end| end + 1) {
                rest.extend(queue.iter().position(of).and_then(|at| queue.remove(at)));
            }
        }
        self.ends.extend(rest);
        self.drop_waiting(slot)
    }

    /// Drops all of a slot but what goes first; how many packets that were.
    pub(super) fn drop_waiting(&mut self, slot: SlotId) -> usize {
        let first = std::mem::take(&mut self.ends);
        let dropped = self.drop_slot(slot);
        self.ends = first;
        dropped
    }

    /// Drops all of a slot; how many packets that were.
    pub(super) fn drop_slot(&mut self, slot: SlotId) -> usize {
        let before = self.packets;
        for queue in self.queues.iter_mut().chain([&mut self.ends]) {
            queue.retain(|waiting| {
                let keep = waiting.header.slot != slot;
                if !keep {
                    self.bytes -= waiting.header.size;
                    self.packets -= 1;
                }
                keep
            });
        }
        before - self.packets
    }

    fn forget(&mut self, waiting: &Waiting<T>) {
        self.bytes -= waiting.header.size;
        self.packets -= 1;
    }
}
