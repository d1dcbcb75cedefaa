//! From the packets of one batch to everybody who gets them: to readers by track, to slots per
//! receiver, per track, per packet, so that one receiver's packets lie side by side and its keys stay
//! at hand.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::command::{MediaKind, Target};
use crate::egress::Turn;
use crate::engine::Engine;
use crate::event::{CloseReason, Event};
use crate::events::EventQueue;
use crate::fanout::{Fanout, Job, Jobs};
use crate::layer::Layer;
use crate::layers::Cause;
use crate::pace::pace_media;
use crate::packet::{Form, SourcePacket};
use crate::ring::RingMessage;
use crate::rtp::ExtensionKind;
use crate::slot::Slot;
use crate::timers::TimerKey;
use crate::track::Track;

/// A packet on its way, with the key of its track.
pub(crate) type Routed = (usize, Arc<SourcePacket>);

impl Engine {
    /// Sends the packets that this turn brought to slots and readers.
    pub(crate) fn forward_turn(&mut self, now: Instant) {
        self.allocate_due(now);
        if self.turn.is_empty() {
            return;
        }
        let turn = Turn::new(now, self.clock.at(now));
        let mut routed = std::mem::take(&mut self.turn);
        let mut jobs = std::mem::take(&mut self.jobs);
        // Stable: packets of one track stay in order.
        routed.sort_by_key(|(track, _)| *track);
        let mut start = 0;
        for run in routed.chunk_by(|(a, _), (b, _)| a == b) {
            let packets = start..start + run.len();
            start = packets.end;
            if let Some((track, _)) = run.first()
                && self.tracks.contains(*track)
            {
                self.forward_to_readers(*track, run, now);
                self.list_slots(*track, run, packets, &mut jobs);
            }
        }
        self.forward_to_slots(&jobs, &routed, &turn);
        jobs.clear();
        for (_, packet) in routed.drain(..) {
            self.pool.give(packet);
        }
        self.turn = routed;
        self.jobs = jobs;
    }

    /// Rings, taps and meters get every layer with source numbering.
    fn forward_to_readers(&mut self, key: usize, run: &[Routed], now: Instant) {
        for at in 0..self.tracks[key].readers.len() {
            let reader = self.tracks[key].readers[at];
            for (_, packet) in run {
                match reader {
                    // Other workers make other forms for themselves.
                    Target::Ring(_) if !matches!(packet.form, Form::Published | Form::Onset) => {}
                    Target::Ring(worker) => {
                        self.out.ring(worker, RingMessage::Packet(Arc::clone(packet)));
                    }
                    // Padding is no news to those who read media.
                    _ if packet.payload.is_empty() => {}
                    _ if !matches!(packet.form, Form::Published | Form::Withheld) => {}
                    Target::Tap(tap) => self.out.tap(tap, Arc::clone(packet)),
                    Target::Meter(id) => {
                        if let Some(meter) = self.meters.get_mut(&id) {
                            meter.handle_packet(packet.ext_seq, &packet.payload, now);
                        }
                    }
                }
            }
        }
    }

    /// Lists the slots that want to see any of a track's packets.
    fn list_slots(&self, key: usize, run: &[Routed], packets: Range<usize>, jobs: &mut Jobs) {
        // Of sound there is one layer, of video one form: a look at the packets once will do.
        let brought = run
            .iter()
            .filter(|(_, packet)| packet.form != Form::Withheld)
            .fold(0, |layers, (_, packet)| layers | 1 << packet.layer);
        for (entry, fanout) in self.tracks[key].fanout.iter().enumerate() {
            let Fanout { slot, receiver, layers, .. } = *fanout;
            if layers & brought != 0 {
                let packets = packets.clone();
                jobs.push(receiver, Job { track: key, entry, slot, layers, packets });
            }
        }
    }

    fn forward_to_slots(&mut self, jobs: &Jobs, routed: &[Routed], turn: &Turn) {
        for receiver in jobs.receivers() {
            for job in jobs.of(*receiver) {
                let run = routed.get(job.packets.clone()).unwrap_or_default();
                // Taken apart, so that a panic for one receiver leaves the others alone.
                let sent = catch_unwind(AssertUnwindSafe(|| {
                    self.forward_to_slot(job.track, job.slot, job.layers, run, turn)
                }));
                let Ok((layers, keyframe)) = sent else {
                    self.broken.push(*receiver);
                    break;
                };
                if layers != job.layers
                    && let Some(entry) = self.tracks[job.track].fanout.get_mut(job.entry)
                {
                    entry.layers = layers;
                }
                if keyframe != 0 {
                    self.awaited.push((job.track, keyframe));
                }
            }
        }
        // However many wait, it is one wish.
        self.awaited.sort_unstable();
        self.awaited.dedup();
        while let Some((track, layers)) = self.awaited.pop() {
            for layer in (0..8).filter(|layer| layers >> layer & 1 == 1) {
                self.want_keyframe(track, layer, turn.now);
            }
        }
        while let Some(transport) = self.broken.pop() {
            self.close(transport, CloseReason::Internal, turn.now);
        }
    }

    /// Returns the layers that the slot wants to see from now on, and those of which it waits for a
    /// keyframe.
    fn forward_to_slot(
        &mut self,
        track: usize,
        slot_key: usize,
        mut layers: u8,
        run: &[Routed],
        turn: &Turn,
    ) -> (u8, u8) {
        let track = &self.tracks[track];
        let Some(slot) = self.slots.get_mut(slot_key) else { return (0, 0) };
        let Some(transport) = self.transports.get_mut(slot.transport) else { return (0, 0) };
        if slot.kind == MediaKind::Video {
            slot.takes_descriptors =
                transport.extensions.id(ExtensionKind::DependencyDescriptor).is_some()
                    && transport.extensions.two_byte_allowed();
        }
        let arena = &mut self.out.arena;
        for (_, packet) in run {
            if layers >> packet.layer & 1 == 0 || !slot.takes(packet) {
                continue;
            }
            let before = (slot.stats.switches, slot.current().map(|layer| layer.spatial));
            let mut send = |slot: &mut Slot, packet: &Arc<SourcePacket>| {
                let outcome = slot.rewrite(packet, track, turn.now).and_then(|rewritten| {
                    let marker = rewritten.fields.marker;
                    slot.meter.on_forwarded(packet, marker, transport.rtt.get(), turn.now);
                    pace_media(arena, transport, (slot_key, slot), packet, rewritten, turn)
                });
                if let Err(reason) = outcome {
                    self.out.drops.count(reason);
                }
            };
            send(slot, packet);
            let layer = slot.current().map(|layer| layer.spatial);
            if (slot.stats.switches, layer) == before {
                continue;
            }
            if slot.stats.switches != before.0 {
                // It may have started late: the rest of its keyframe is here already then.
                let layer = track.layers.get(usize::from(packet.layer));
                if let Some(layer) = layer {
                    let following = packet.ext_seq + 1..=layer.newest().unwrap_or(0);
                    let cached = following.filter_map(|number| layer.cache.get(number));
                    for packet in cached {
                        if slot.takes(packet) {
                            send(slot, packet);
                        }
                    }
                }
                if let Some(at) = slot.report_at {
                    transport.report_by(at);
                    self.timers.arm(TimerKey::Transport(slot.transport), &mut transport.wake, at);
                }
            }
            layers = slot.interest();
            let layer = slot.current().map(|layer| layer.spatial);
            if layer != before.1 {
                self.out.events.push(Event::SlotLayer { slot: slot.id, layer });
            }
        }
        let waiting = transport.sending.as_ref().and_then(|sending| sending.pacer.poll_timeout());
        if let Some(at) = waiting {
            self.timers.arm(TimerKey::Transport(slot.transport), &mut transport.wake, at);
        }
        let keyframe = slot.waits_for().or_else(|| slot.due_keyframe(turn.now));
        (layers, keyframe.map_or(0, |layer| 1 << layer))
    }

    /// Looks again at what each slot of the track should get, after layers came or went.
    pub(crate) fn retarget_slots(&mut self, key: usize, now: Instant) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let mut fanout = std::mem::take(&mut track.fanout);
        let mut wanted = 0u8;
        for entry in &mut fanout {
            let Some(slot) = self.slots.get(entry.slot) else { continue };
            if self.is_limited(slot) {
                let (transport, unknown) = (slot.transport, slot.allocation().is_none());
                self.want_allocation(transport);
                if unknown {
                    continue;
                }
            }
            let (Some(slot), Some(track)) = (self.slots.get_mut(entry.slot), self.tracks.get(key))
            else {
                continue;
            };
            wanted |= retarget(slot, track, &mut self.out.events, &mut entry.layers, now);
        }
        self.tracks[key].fanout = fanout;
        for layer in 0..8 {
            if wanted >> layer & 1 == 1 {
                self.want_keyframe(key, layer, now);
            }
        }
    }
}

/// Lets one slot follow what is wanted and what the path allows. Returns the layers of which it waits
/// for a keyframe.
pub(crate) fn retarget(
    slot: &mut Slot,
    track: &Track,
    events: &mut EventQueue,
    layers: &mut u8,
    now: Instant,
) -> u8 {
    let before = slot.current();
    slot.follow_live(track);
    slot.follow_shape(track, now);
    let (target, cause) = slot.allocated().unwrap_or_else(|| (slot.wanted(track), Cause::Wish));
    slot.set_target(target, cause, now);
    *layers = slot.interest();
    let spatial = |layer: Option<Layer>| layer.map(|layer| layer.spatial);
    if spatial(slot.current()) != spatial(before) {
        events.push(Event::SlotLayer { slot: slot.id, layer: spatial(slot.current()) });
    }
    slot.waits_for().map_or(0, |layer| 1 << layer)
}
