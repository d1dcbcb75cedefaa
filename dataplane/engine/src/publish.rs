//! Tracks: how they come, who reads them, how they go; and packets that are made on this machine.

use std::time::Instant;

use rand::Rng;

use crate::command::{AddTrack, Source, Target};
use crate::engine::Engine;
use crate::error::DropReason;
use crate::event::Event;
use crate::ids::{RoomId, TrackId, WorkerId};
use crate::load::{GeneratedPacket, Generator, Meter, MeterId, MeterStats};
use crate::packet::{Form, PassThrough, SourcePacket};
use crate::ring::RingMessage;
use crate::rtp::{AudioLevel, ShortName};
use crate::timers::TimerKey;
use crate::track::{Track, TrackSource};
use crate::transport::Binding;

/// Layers of one track: a bit each in a byte.
const MAX_LAYERS: usize = 8;
/// Codecs of one track.
const MAX_CODECS: usize = 64;

impl Engine {
    pub(crate) fn add_track(&mut self, spec: AddTrack, now: Instant) {
        const COMMAND: &str = "AddTrack";
        let id = spec.track;
        if let Some(key) = self.names.tracks.get(&id).copied() {
            return self.move_track(key, spec.room, now);
        }
        if spec.layers.is_empty() || spec.layers.len() > MAX_LAYERS {
            return self.out.events.failed(COMMAND, id.0, "1 to 8 layers are needed");
        }
        if spec.codecs.is_empty() || spec.codecs.len() > MAX_CODECS {
            return self.out.events.failed(COMMAND, id.0, "1 to 64 codecs are needed");
        }
        let source = match &spec.source {
            Source::Transport { transport, mid } => {
                let Some(key) = self.transport_named(*transport, COMMAND) else { return };
                TrackSource::Transport { key, mid: ShortName::new(mid.as_bytes()) }
            }
            Source::Ring { home } => TrackSource::Ring { home: *home },
            Source::Generator(spec) => {
                let seed = self.random.next_u64();
                TrackSource::Generator(Box::new(Generator::new(
                    spec,
                    self.clock.instant,
                    seed,
                    now,
                )))
            }
            Source::Local => TrackSource::Local,
        };
        let room = spec.room;
        let track = Track::new(spec, source, now);
        let key = self.tracks.insert(track);
        self.names.tracks.insert(id, key);
        self.join_room_audio(room, key, now);
        self.declare_track(key, now);
        self.arm_track(key);
    }

    /// Its publisher is in another room now, where it is heard as a speaker.
    fn move_track(&mut self, key: usize, room: RoomId, now: Instant) {
        let before = std::mem::replace(&mut self.tracks[key].room, room);
        if before != room {
            self.leave_room_audio(before, key);
            self.join_room_audio(room, key, now);
        }
    }

    /// Tells the publishing transport which SSRCs signaling named.
    fn declare_track(&mut self, key: usize, now: Instant) {
        let track = &self.tracks[key];
        let Some(transport) = track.transport() else { return };
        let transport_key = transport;
        let transport = &mut self.transports[transport_key];
        transport.tracks.push(key);
        for (at, layer) in track.layers.iter().enumerate() {
            let binding = |repair| Binding { track: key, layer: at as u8, repair };
            if let Some(ssrc) = layer.ssrc {
                transport.bindings.declare(ssrc, binding(false));
            }
            if let Some(ssrc) = layer.rtx_ssrc {
                transport.bindings.declare(ssrc, binding(true));
            }
        }
        self.begin_receiver_reports(transport_key, now);
    }

    pub(crate) fn set_track_muted(&mut self, id: TrackId, muted: bool, now: Instant) {
        const COMMAND: &str = "SetTrackMuted";
        let Some(key) = self.track_named(id, COMMAND) else { return };
        let track = &mut self.tracks[key];
        if track.muted == muted {
            return;
        }
        track.muted = muted;
        for layer in &mut track.layers {
            layer.interrupt();
            layer.keyframe.cancel();
            layer.meter.on_stop(now);
        }
        if !muted {
            self.retarget_slots(key, now);
        }
    }

    pub(crate) fn remove_track(&mut self, id: TrackId) {
        if let Some(key) = self.names.tracks.get(&id).copied() {
            self.drop_track(key);
        }
    }

    /// Forgets a track; its slots stay, and fall silent.
    pub(crate) fn drop_track(&mut self, key: usize) {
        let Some(mut track) = self.tracks.try_remove(key) else { return };
        self.names.tracks.remove(&track.id);
        self.timers.disarm(TimerKey::Track(key), &mut track.wake);
        if let Some(transport) = track.transport().and_then(|key| self.transports.get_mut(key)) {
            transport.tracks.retain(|own| *own != key);
            transport.bindings.remove_track(key);
        }
        for entry in &track.fanout {
            let Some(slot) = self.slots.get_mut(entry.slot) else { continue };
            let forwarded = slot.current().is_some();
            slot.unbind(Some(&track));
            if forwarded {
                self.out.events.push(Event::SlotLayer { slot: slot.id, layer: None });
            }
        }
        for reader in &track.readers {
            if let Target::Meter(meter) = reader {
                self.meters.remove(meter);
            }
        }
        self.leave_room_audio(track.room, key);
    }

    pub(crate) fn add_target(&mut self, id: TrackId, target: Target) {
        const COMMAND: &str = "AddTarget";
        if target == Target::Ring(self.worker) {
            return self.out.events.failed(COMMAND, id.0, "that is this worker");
        }
        let Some(key) = self.track_named(id, COMMAND) else { return };
        let track = &mut self.tracks[key];
        if track.readers.contains(&target) {
            return;
        }
        track.readers.push(target);
        match target {
            Target::Meter(meter) => {
                self.meters.insert(meter, Meter::new(self.clock.instant));
            }
            // The mirror starts with the clocks known so far.
            Target::Ring(worker) => {
                for (at, layer) in track.layers.iter().enumerate() {
                    let Some(clock) = layer.clock else { continue };
                    let (track, layer) = (track.id, at as u8);
                    self.out.ring(worker, RingMessage::SenderReport { track, layer, clock });
                }
            }
            Target::Tap(_) => {}
        }
        self.wishes_changed(key);
    }

    pub(crate) fn remove_target(&mut self, id: TrackId, target: Target) {
        let Some(key) = self.names.tracks.get(&id).copied() else { return };
        let track = &mut self.tracks[key];
        track.readers.retain(|reader| *reader != target);
        track.pinned_on.retain(|worker| target.worker() != Some(*worker));
        match target {
            Target::Ring(worker) => self.forget_worker(key, worker),
            Target::Meter(meter) => {
                self.meters.remove(&meter);
            }
            Target::Tap(_) => {}
        }
        self.wishes_changed(key);
    }

    pub(crate) fn request_keyframe(&mut self, id: TrackId, layer: u8, now: Instant) {
        if let Some(key) = self.track_named(id, "RequestKeyframe") {
            self.want_keyframe(key, layer, now);
        }
    }

    /// Figures of a load-test meter.
    #[must_use]
    pub fn meter_stats(&self, meter: MeterId, now: Instant) -> Option<MeterStats> {
        self.meters.get(&meter).map(|meter| meter.stats(now))
    }

    /// One packet of a track whose source is this process ([`Source::Local`]), to be forwarded at
    /// once. Each layer's packets are numbered in order of these calls; the first of the track's
    /// codecs is what they hold.
    ///
    /// # Errors
    /// No such local track or layer, or it is muted.
    pub fn inject(
        &mut self,
        track: TrackId,
        packet: &GeneratedPacket<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        self.now = now;
        let key = self.names.tracks.get(&track).copied().ok_or(DropReason::RtpUnknownSsrc)?;
        if !matches!(self.tracks[key].source, TrackSource::Local) {
            return Err(DropReason::NotAllowed);
        }
        self.make_packet(key, packet, now)?;
        self.forward_turn(now);
        Ok(())
    }

    /// Gives a packet made here its number, and publishes it.
    fn make_packet(
        &mut self,
        key: usize,
        made: &GeneratedPacket<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let track = &mut self.tracks[key];
        if track.muted {
            return Err(DropReason::NotAllowed);
        }
        let codec = &track.codecs[0];
        let layer =
            track.layers.get_mut(usize::from(made.layer)).ok_or(DropReason::RtpUnknownSsrc)?;
        let placed = layer.place_next(made.timestamp, now);
        layer.use_codec(0, codec);
        let frame = layer.inspect(codec.codec, made.payload, made.descriptor, made.marker, &placed);
        let described = made.descriptor.and_then(|extension| layer.described(extension));
        let level = made.level.map(|level| AudioLevel { voice: true, level }.to_byte());
        let fields = SourcePacket {
            track: track.id,
            layer: made.layer,
            codec: 0,
            ext_seq: placed.ext_seq,
            timestamp: made.timestamp,
            marker: made.marker,
            late: false,
            restart: placed.restart,
            arrival: now,
            frame,
            extensions: PassThrough { audio_level: level, ..PassThrough::default() },
            form: Form::Published,
            described,
            payload: Vec::new(),
        };
        self.publish(key, fields, made.payload, now)
    }

    /// Lets a generator make what is due.
    pub(crate) fn run_generator(&mut self, key: usize, now: Instant) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let TrackSource::Generator(_) = &track.source else { return };
        // Taken out while its packets go through the track's own tables.
        let source = std::mem::replace(&mut track.source, TrackSource::Local);
        let TrackSource::Generator(mut generator) = source else { return };
        generator.handle_timeout(now);
        while let Some(packet) = generator.poll_packet() {
            if let Err(reason) = self.make_packet(key, &packet, now) {
                self.out.drops.count(reason);
            }
        }
        if let Some(track) = self.tracks.get_mut(key) {
            track.source = TrackSource::Generator(generator);
        }
        self.forward_turn(now);
    }

    /// A message of another worker.
    pub(crate) fn take_ring_message(&mut self, from: WorkerId, message: RingMessage, now: Instant) {
        match message {
            RingMessage::Packet(packet) => {
                // The mirror may have gone while it was under way.
                let Some(key) = self.names.tracks.get(&packet.track).copied() else { return };
                if let Err(reason) = self.publish_shared(key, packet, now) {
                    self.out.drops.count(reason);
                }
            }
            RingMessage::SenderReport { track, layer, clock } => {
                let Some(key) = self.names.tracks.get(&track).copied() else { return };
                if let Some(layer) = self.tracks[key].layers.get_mut(usize::from(layer)) {
                    layer.clock = Some(clock);
                }
            }
            RingMessage::Keyframe { track, layer } => {
                if let Some(key) = self.names.tracks.get(&track).copied() {
                    self.want_keyframe(key, layer, now);
                }
            }
            RingMessage::Wanted { track, best } => self.wishes_elsewhere(track, from, best),
            RingMessage::Pin { track, pinned } => {
                let Some(key) = self.names.tracks.get(&track).copied() else { return };
                let workers = &mut self.tracks[key].pinned_on;
                workers.retain(|worker| *worker != from);
                if pinned {
                    workers.push(from);
                }
            }
            RingMessage::Data(delivery) => self.hand_out(&delivery, now),
            RingMessage::Address { tuple, present } => {
                self.routes.set_foreign(tuple, from, present);
            }
        }
    }

    fn track_named(&mut self, id: TrackId, command: &'static str) -> Option<usize> {
        let key = self.names.tracks.get(&id).copied();
        if key.is_none() {
            self.out.events.failed(command, id.0, "no such track");
        }
        key
    }
}
