//! Which layer each slot of a limited transport gets: gathers what the allocator must know, and
//! carries out what it decides.

use std::time::{Duration, Instant};

use crate::allocator::{Class, Decision, TrackInput};
use crate::command::Wish;
use crate::engine::Engine;
use crate::event::{Event, SlotAllocation};
use crate::forward::retarget;
use crate::ids::{RoomId, SlotId, TransportId};
use crate::layer::Layer;
use crate::layers::{MAX_OVERLOAD, Shape};
use crate::pacer::HoldStep;
use crate::slot::Slot;
use crate::track::Track;
use crate::units::Bitrate;

/// A picture that has waited so long for its path is made anew.
const RENEWED_AFTER: Duration = Duration::from_millis(600);

impl Engine {
    /// Whether the allocator chooses what a slot gets.
    pub(crate) fn is_limited(&self, slot: &Slot) -> bool {
        let transport = self.transports.get(slot.transport);
        slot.is_allocated() && transport.is_some_and(|transport| transport.sending.is_some())
    }

    /// Something about a transport's slots changed: layers are chosen anew before the next packet
    /// is forwarded.
    pub(crate) fn want_allocation(&mut self, key: usize) {
        let limited = self.transports.get(key).is_some_and(|transport| transport.sending.is_some());
        if limited && !self.reallocate.contains(&key) {
            self.reallocate.push(key);
        }
    }

    /// Chooses for all transports that want it.
    #[inline]
    pub(crate) fn allocate_due(&mut self, now: Instant) {
        while let Some(key) = self.reallocate.pop() {
            self.contained(key, now, |engine| engine.allocate(key, now));
        }
    }

    /// The estimate is news: the allocator may want to follow it.
    pub(crate) fn follow_estimate(&mut self, key: usize, now: Instant) {
        self.drain_pacer(key, now);
        self.allocate_if_due(key, now);
        self.follow_hold(key, now);
        self.arm_transport(key);
    }

    /// Somebody else than the path says how much may be sent.
    pub(crate) fn limit_sending(&mut self, id: TransportId, limit: Option<Bitrate>, now: Instant) {
        let Some(key) = self.transport_named(id, "LimitSending") else { return };
        let Some(sending) = &mut self.transports[key].sending else { return };
        sending.set_limit(limit);
        self.want_allocation(key);
        self.allocate_due(now);
        self.follow_estimate(key, now);
    }

    /// While the path's queue is too long video waits, and goes on at keyframes.
    pub(crate) fn follow_hold(&mut self, key: usize, now: Instant) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let step = transport.sending.as_mut().and_then(|sending| sending.poll_hold());
        for at in 0..step.map_or(0, |_| transport.slots.len()) {
            let transport = self.transports.get_mut(key);
            let slot = transport.as_ref().and_then(|transport| transport.slots.get(at));
            let Some((_, slot_key)) = slot.copied() else { return };
            let (Some(slot), Some(step)) = (self.slots.get_mut(slot_key), step) else { continue };
            let id = slot.id;
            let track = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track));
            let inside =
                matches!(track.map(Track::shape), Some(Shape::Svc { key_only: Some(false) }));
            let lowest = step == HoldStep::Begins && inside && slot.is_allocated();
            slot.keep_lowest(lowest);
            let Some(sending) = transport.and_then(|transport| transport.sending.as_mut()) else {
                return;
            };
            if !slot.is_allocated() {
                continue;
            }
            let packets = match step {
                HoldStep::Begins if inside => {
                    sending.pacer.spare(id);
                    None
                }
                HoldStep::Begins => Some(sending.pacer.end_slot(id)),
                HoldStep::Ends if sending.pacer.waited(id, now) < RENEWED_AFTER => None,
                HoldStep::Ends => Some(sending.pacer.forget_slot(id)),
            };
            match packets {
                Some(packets) => {
                    sending.count_cut(packets);
                    self.break_off(id, now);
                }
                None => self.choose_layer(slot_key, now),
            }
        }
    }

    /// Chooses if time or estimate ask for it.
    pub(crate) fn allocate_if_due(&mut self, key: usize, now: Instant) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(sending) = &mut transport.sending else { return };
        let link = sending.link(now);
        if sending.allocator.observe(&link, now) {
            self.allocate(key, now);
        }
    }

    /// Chooses layers for all slots of a transport.
    fn allocate(&mut self, key: usize, now: Instant) {
        let mut inputs = std::mem::take(&mut self.track_inputs);
        inputs.clear();
        self.gather(key, &mut inputs, now);
        let Some(transport) = self.transports.get_mut(key) else { return };
        let Some(sending) = &mut transport.sending else { return };
        if !sending.is_proven() {
            // The estimate is a guess: no reason to stop a picture.
            inputs.iter_mut().for_each(|input| input.wish.may_pause = false);
        }
        let link = sending.link(now);
        let summary = sending.allocator.run(&link, &inputs, now);
        sending.set_summary(summary);
        for (at, input) in inputs.iter().enumerate() {
            let decided = self.transports.get(key).and_then(|transport| transport.sending.as_ref());
            let decision = decided.and_then(|sending| sending.allocator.decisions().get(at));
            if let Some(decision) = decision.copied() {
                self.carry_out(key, &decision, input.class, link.estimate, now);
            }
        }
        self.track_inputs = inputs;
        // There may be something to probe for now.
        self.drain_pacer(key, now);
        self.arm_transport(key);
    }

    /// All video tracks in slots of this transport.
    fn gather(&mut self, key: usize, inputs: &mut Vec<TrackInput>, now: Instant) {
        let Some(transport) = self.transports.get(key) else { return };
        for (_, slot) in &transport.slots {
            let Some(slot) = self.slots.get(*slot).filter(|slot| slot.is_allocated()) else {
                continue;
            };
            let Some(bound) = &slot.bound else { continue };
            let Some(track) = self.tracks.get(bound.track) else { continue };
            let speaking = self.is_speaking(track.room, &track.cname);
            let (wish, slot, current) = (bound.wish, slot.id, slot.current());
            let track = &mut self.tracks[bound.track];
            inputs.push(input(slot, track, wish, current, speaking, now));
        }
    }

    /// Whether an audio track of this participant is heard.
    fn is_speaking(&self, room: RoomId, cname: &str) -> bool {
        let Some(audio) = self.rooms.get(&room) else { return false };
        audio.speaking().iter().any(|id| {
            let track = self.names.tracks.get(id).and_then(|key| self.tracks.get(*key));
            track.is_some_and(|track| track.cname == cname)
        })
    }

    fn carry_out(
        &mut self,
        key: usize,
        decision: &Decision,
        class: Class,
        estimate: Bitrate,
        now: Instant,
    ) {
        let Some(slot_key) = self.names.slots.get(&decision.slot).copied() else { return };
        let Some(slot) = self.slots.get_mut(slot_key) else { return };
        if slot.allocate(*decision, class.importance(), now) {
            self.out.events.push(Event::SlotAllocation(news(decision, estimate)));
        }
        if slot.is_leaving() && self.shed(key, slot_key, decision, now) {
            self.break_off(decision.slot, now);
        } else {
            self.choose_layer(slot_key, now);
        }
    }

    /// What waits of a picture that is too large would only delay the smaller one. True: its
    /// frames have come to an end.
    fn shed(&mut self, key: usize, slot: usize, decision: &Decision, now: Instant) -> bool {
        let Some(transport) = self.transports.get_mut(key) else { return false };
        let Some(sending) = &mut transport.sending else { return false };
        sending.leave_by(now + MAX_OVERLOAD);
        let track = self.slots.get(slot).and_then(|slot| slot.bound.as_ref());
        let shape = track.and_then(|bound| self.tracks.get(bound.track)).map(Track::shape);
        let inside = matches!(shape, Some(Shape::Svc { key_only: None | Some(false) }));
        if decision.target.is_some() && inside {
            // The smaller picture is part of the larger one.
            return false;
        }
        let packets = sending.pacer.end_slot(decision.slot);
        sending.count_cut(packets);
        packets > 0 || decision.meanwhile.is_none()
    }

    /// Pictures that are too large have had their time to go.
    pub(crate) fn end_overload(&mut self, key: usize, now: Instant) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let due = transport.sending.as_mut().is_some_and(|sending| sending.take_leave_due(now));
        for at in 0..if due { transport.slots.len() } else { 0 } {
            let slots = self.transports.get(key).map(|transport| &transport.slots);
            let Some((_, slot_key)) = slots.and_then(|slots| slots.get(at)).copied() else {
                return;
            };
            let Some(slot) = self.slots.get_mut(slot_key) else { continue };
            if slot.on_overload(now) {
                self.out.events.push(Event::SlotLayer { slot: slot.id, layer: None });
                self.choose_layer(slot_key, now);
            }
        }
    }

    /// Packets of a slot were dropped on their way out: it goes on at a keyframe.
    pub(crate) fn break_off(&mut self, id: SlotId, now: Instant) {
        let Some(key) = self.names.slots.get(&id).copied() else { return };
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.stream().is_some() {
            slot.break_off();
            self.out.events.push(Event::SlotLayer { slot: id, layer: None });
        }
        self.choose_layer(key, now);
    }

    /// Lets a slot follow its target, and asks for the keyframe it then waits for.
    pub(crate) fn choose_layer(&mut self, key: usize, now: Instant) {
        let slot: &mut Slot = &mut self.slots[key];
        let Some(track_key) = slot.bound.as_ref().map(|bound| bound.track) else { return };
        let Some(track) = self.tracks.get_mut(track_key) else { return };
        let mut layers = 0;
        let wanted = retarget(slot, track, &mut self.out.events, &mut layers, now);
        if let Some(entry) = track.fanout.iter_mut().find(|entry| entry.slot == key) {
            entry.layers = layers;
        }
        for layer in (0..8).filter(|layer| wanted >> layer & 1 == 1) {
            self.want_keyframe(track_key, layer, now);
        }
    }
}

fn news(decision: &Decision, estimate: Bitrate) -> SlotAllocation {
    let (available, needed) = decision.reason.rates();
    SlotAllocation {
        slot: decision.slot,
        target: decision.target,
        paused: decision.paused,
        reason: decision.reason.as_str(),
        text: decision.to_string(),
        estimate_bps: (estimate < Bitrate::MAX).then(|| estimate.as_bps()),
        available_bps: available.as_bps(),
        needed_bps: needed.as_bps(),
    }
}

fn input(
    slot: SlotId,
    track: &mut Track,
    wish: Wish,
    current: Option<Layer>,
    speaking: bool,
    now: Instant,
) -> TrackInput {
    TrackInput {
        slot,
        track: track.id,
        class: Class::of(&wish, speaking),
        wish,
        rates: track.rates(now),
        heights_px: track.heights_px(),
        alive_since: track.alive_since(),
        current,
    }
}
