//! Events on their way to the control plane: in order, bounded, merged where only the latest counts.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::event::{Event, SlotAllocation};
use crate::ids::{RoomId, SlotId, TrackId};

/// Events kept for a shell that does not drain; the loop drains after every turn.
const MAX_QUEUED: usize = 16_384;

#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    queue: VecDeque<Event>,
    /// News of which only the latest counts; sent when everything in order is.
    slots: FxHashMap<SlotId, Option<u8>>,
    allocations: FxHashMap<SlotId, SlotAllocation>,
    wanted: FxHashMap<TrackId, Option<u8>>,
    speakers: FxHashMap<RoomId, Vec<(TrackId, u8)>>,
    overflowed: bool,
}

impl EventQueue {
    pub(crate) fn push(&mut self, event: Event) {
        match event {
            Event::SlotLayer { slot, layer } => {
                self.slots.insert(slot, layer);
            }
            Event::SlotAllocation(news) => {
                self.allocations.insert(news.slot, news);
            }
            Event::WantedLayers { track, best } => {
                self.wanted.insert(track, best);
            }
            Event::Speakers { room, speakers } => {
                self.speakers.insert(room, speakers);
            }
            _ if self.queue.len() >= MAX_QUEUED => self.overflowed = true,
            event => self.queue.push_back(event),
        }
    }

    pub(crate) fn failed(&mut self, command: &'static str, id: u64, reason: &'static str) {
        self.push(Event::CommandFailed { command, id, reason });
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        if let Some(event) = self.queue.pop_front() {
            return Some(event);
        }
        if std::mem::take(&mut self.overflowed) {
            return Some(Event::Resync);
        }
        if let Some(&slot) = self.slots.keys().next() {
            let layer = self.slots.remove(&slot)?;
            return Some(Event::SlotLayer { slot, layer });
        }
        if let Some(&slot) = self.allocations.keys().next() {
            return self.allocations.remove(&slot).map(Event::SlotAllocation);
        }
        if let Some(&track) = self.wanted.keys().next() {
            let best = self.wanted.remove(&track)?;
            return Some(Event::WantedLayers { track, best });
        }
        let room = *self.speakers.keys().next()?;
        let speakers = self.speakers.remove(&room)?;
        Some(Event::Speakers { room, speakers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TransportId;

    #[test]
    fn only_the_latest_layer_of_a_slot_is_told() {
        let mut events = EventQueue::default();
        for layer in [None, Some(0), Some(2)] {
            events.push(Event::SlotLayer { slot: SlotId(1), layer });
        }
        let told = events.pop();
        assert!(matches!(told, Some(Event::SlotLayer { layer: Some(2), .. })), "{told:?}");
        assert!(events.pop().is_none());
    }

    #[test]
    fn overflow_is_bounded_and_asks_for_a_snapshot() {
        let mut events = EventQueue::default();
        for id in 0..20_000 {
            events.push(Event::DataReady { transport: TransportId(id) });
        }
        let mut seen = 0;
        let mut resync = 0;
        while let Some(event) = events.pop() {
            seen += 1;
            resync += usize::from(matches!(event, Event::Resync));
        }
        assert_eq!((seen, resync), (MAX_QUEUED + 1, 1));
    }
}
