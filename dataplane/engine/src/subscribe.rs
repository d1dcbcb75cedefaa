//! Slots: how they are agreed, which track they carry, how they go.

use std::time::Instant;

use rand::Rng;

use crate::command::{AddSlot, Role, Wish};
use crate::engine::Engine;
use crate::event::Event;
use crate::fanout::Fanout;
use crate::ids::{SlotId, TrackId};
use crate::packet::Form;
use crate::slot::Slot;

impl Engine {
    pub(crate) fn add_slot(&mut self, spec: AddSlot) {
        const COMMAND: &str = "AddSlot";
        let id = spec.slot;
        if self.names.slots.contains_key(&id) {
            return;
        }
        let Some(transport_key) = self.transport_named(spec.transport, COMMAND) else { return };
        let transport = &mut self.transports[transport_key];
        // Numbers of an SSRC may not begin anew under the same keys (RFC 7714, section 9.2).
        let ssrcs: Vec<u32> = [Some(spec.ssrc), spec.rtx_ssrc].into_iter().flatten().collect();
        if ssrcs.iter().any(|ssrc| transport.used_ssrcs.contains(ssrc)) {
            return self.out.events.failed(COMMAND, id.0, "ssrc was used before");
        }
        transport.used_ssrcs.extend(ssrcs);
        let ssrc = spec.ssrc;
        let publishes = transport.role == Role::Client;
        let slot = Slot::new(spec, transport_key, publishes, self.random.next_u64());
        let key = self.slots.insert(slot);
        transport.slots.push((ssrc, key));
        self.names.slots.insert(id, key);
    }

    pub(crate) fn remove_slot(&mut self, id: SlotId) {
        if let Some(key) = self.names.slots.get(&id).copied() {
            self.drop_slot(key);
        }
    }

    /// Forgets a slot, wherever it is known.
    pub(crate) fn drop_slot(&mut self, key: usize) {
        self.leave_track(key);
        let Some(slot) = self.slots.try_remove(key) else { return };
        self.names.slots.remove(&slot.id);
        if let Some(transport) = self.transports.get_mut(slot.transport) {
            if let Some(sending) = &mut transport.sending {
                sending.pacer.forget_slot(slot.id);
            }
            transport.slots.retain(|(_, own)| *own != key);
        }
    }

    pub(crate) fn subscribe(&mut self, id: SlotId, track: TrackId, wish: Wish, now: Instant) {
        const COMMAND: &str = "Subscribe";
        let Some(key) = self.slot_named(id, COMMAND) else { return };
        let Some(track_key) = self.names.tracks.get(&track).copied() else {
            return self.out.events.failed(COMMAND, id.0, "no such track");
        };
        let bound = self.slots[key].bound.as_ref().map(|bound| bound.track);
        if bound != Some(track_key) {
            self.leave_track(key);
        }
        if !self.slots[key].bind(track_key, &self.tracks[track_key], wish) {
            return self.out.events.failed(COMMAND, id.0, "no common codec");
        }
        if bound != Some(track_key) {
            let receiver = self.slots[key].transport;
            let entry = Fanout { slot: key, receiver, layers: 0, form: Form::Published };
            self.tracks[track_key].fanout.push(entry);
            self.follow_form(key);
        }
        self.follow_pins(track_key);
        self.wishes_changed(track_key);
        self.retarget_slot(key, now);
    }

    pub(crate) fn update_subscription(&mut self, id: SlotId, wish: Wish, now: Instant) {
        let Some(key) = self.slot_named(id, "UpdateSubscription") else { return };
        let slot = &mut self.slots[key];
        slot.set_wish(wish);
        let Some(track) = slot.bound.as_ref().map(|bound| bound.track) else { return };
        self.follow_pins(track);
        self.wishes_changed(track);
        self.retarget_slot(key, now);
    }

    pub(crate) fn unsubscribe(&mut self, id: SlotId) {
        if let Some(key) = self.names.slots.get(&id).copied() {
            self.leave_track(key);
        }
    }

    /// Ends what binding began; the slot keeps its numbers.
    fn leave_track(&mut self, key: usize) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (forwarded, transport) = (slot.current().is_some(), slot.transport);
        let bound = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track));
        let Some(track) = slot.unbind(bound) else { return };
        if forwarded {
            self.out.events.push(Event::SlotLayer { slot: slot.id, layer: None });
        }
        if let Some(track) = self.tracks.get_mut(track) {
            track.fanout.retain(|entry| entry.slot != key);
        }
        self.follow_pins(track);
        self.wishes_changed(track);
        self.want_allocation(transport);
    }

    /// Lets a slot choose its layer, at once or when its transport's are chosen.
    fn retarget_slot(&mut self, key: usize, now: Instant) {
        let slot = &self.slots[key];
        if self.is_limited(slot) {
            self.want_allocation(slot.transport);
        } else {
            self.choose_layer(key, now);
        }
    }

    fn slot_named(&mut self, id: SlotId, command: &'static str) -> Option<usize> {
        let key = self.names.slots.get(&id).copied();
        if key.is_none() {
            self.out.events.failed(command, id.0, "no such slot");
        }
        key
    }
}
