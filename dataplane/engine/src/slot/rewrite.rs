//! One source packet to this subscriber's copy of it: what changes and what it is called.

use std::ops::Range;
use std::time::Instant;

use super::{FIRST_REPORT_AFTER, PayloadTypes, Slot};
use crate::codec::dependency_descriptor::Change;
use crate::codec::{Keyframe, Prefix};
use crate::command::MediaKind;
use crate::error::DropReason;
use crate::layers::{Decision, Forward, Packet, Switch};
use crate::packet::SourcePacket;
use crate::rtp::HeaderFields;
use crate::seq_map::Unmapped;
use crate::timestamps::Situation;
use crate::track::{Layer, Track};

/// A start may be so many packets late (its first packet was lost or overtaken): what followed it
/// is then sent from the cache. A keyframe of 720p has about as many.
pub(crate) const MAX_CATCH_UP: u64 = 64;

/// A packet as this subscriber gets it, but for its extensions.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// Extended sequence number; never used twice.
    pub(crate) index: u64,
    pub(crate) fields: HeaderFields,
    /// New first bytes of the payload.
    pub(crate) prefix: Prefix,
    /// Video orientation to send.
    pub(crate) orientation: Option<u8>,
    /// What its dependency descriptor has different, if it has one.
    pub(crate) descriptor: Option<Change>,
}

impl From<Unmapped> for DropReason {
    fn from(reason: Unmapped) -> Self {
        match reason {
            Unmapped::OtherSource | Unmapped::TooOld => Self::TooOld,
            Unmapped::Duplicate => Self::Duplicate,
            Unmapped::Excluded => Self::LayerNotWanted,
        }
    }
}

impl Slot {
    /// Decides about one packet of the bound track, and renumbers it if it is forwarded.
    ///
    /// # Errors
    /// Why it is not. That is ordinary here: the caller counts the reason and goes on.
    #[inline]
    pub(crate) fn rewrite(
        &mut self,
        packet: &SourcePacket,
        track: &Track,
        now: Instant,
    ) -> Result<Rewritten, DropReason> {
        let source = self.source(packet.layer);
        if packet.payload.is_empty() {
            self.seq.exclude(source, packet.ext_seq);
            self.selector.on_padding(packet.layer, packet.ext_seq);
            return Err(DropReason::PaddingOnly);
        }
        let types = self.types_of(packet).ok_or(DropReason::RtpUnknownPayloadType)?;
        if self.codec != Some(packet.codec) {
            self.follow_codec(packet.codec, track, now);
        }
        if packet.restart && self.stream() == Some(packet.layer) {
            self.stop(Situation::Unmuted);
        }
        // Of the stream that is forwarded all packets are seen here. Another one may start a little
        // late: the caller goes on with what followed.
        let newest = self.stream() == Some(packet.layer) || {
            let layer = track.layers.get(usize::from(packet.layer));
            let newest = layer.and_then(Layer::newest).unwrap_or(packet.ext_seq);
            newest.saturating_sub(packet.ext_seq) <= MAX_CATCH_UP
        };
        let view = self.view(packet, newest);
        match self.selector.decide(&view) {
            Decision::Forward(forward) => {
                self.leave_out(source, packet.ext_seq - u64::from(forward.lost)..packet.ext_seq);
                self.go_on(source, packet, types, forward, now)
            }
            Decision::LeaveOut { lost } => {
                // Closes the gap, or the receiver would ask for what it was never meant to get.
                self.leave_out(source, packet.ext_seq - u64::from(lost)..packet.ext_seq + 1);
                self.payload.exclude(&packet.frame);
                Err(DropReason::LayerNotWanted)
            }
            Decision::Switch(switch) => {
                self.start(source, &view, packet, types, switch, track, now)
            }
            Decision::Ignore => Err(match (self.stream(), self.target) {
                (_, None) => DropReason::Paused,
                (None, _) => DropReason::WaitingForKeyframe,
                _ => DropReason::LayerNotWanted,
            }),
        }
    }

    fn leave_out(&mut self, source: u32, numbers: Range<u64>) {
        self.seq.exclude_all(source, numbers);
    }

    /// A packet of the stream that is forwarded.
    fn go_on(
        &mut self,
        source: u32,
        packet: &SourcePacket,
        types: PayloadTypes,
        forward: Forward,
        now: Instant,
    ) -> Result<Rewritten, DropReason> {
        let newest_before = self.seq.last_out();
        let index = self.seq.map(source, packet.ext_seq)?;
        let prefix = self.payload.map(&packet.frame).ok_or(DropReason::TooOld)?;
        let timestamp = self.timestamps.map(packet.timestamp, now);
        if newest_before.is_some_and(|newest| index <= newest) {
            self.responder.on_late(index, now);
        }
        if packet.extensions.orientation.is_some() {
            self.orientation = packet.extensions.orientation;
        }
        if packet.frame.keyframe == Keyframe::Yes && self.kind == MediaKind::Video {
            self.responder.on_keyframe(index, now);
            self.last_keyframe = Some(now);
        }
        Ok(Rewritten {
            index,
            fields: self.fields(index, timestamp, forward.marker, types.media),
            prefix,
            orientation: packet.extensions.orientation,
            descriptor: self.describe(packet, forward),
        })
    }

    /// A packet of another stream, or the first one of a source, with which forwarding of it may
    /// start. If it was not the newest of its stream, the caller goes on with those that followed.
    #[expect(clippy::too_many_arguments, reason = "what was found out about one packet")]
    fn start(
        &mut self,
        source: u32,
        view: &Packet<'_>,
        packet: &SourcePacket,
        types: PayloadTypes,
        switch: Switch,
        track: &Track,
        now: Instant,
    ) -> Result<Rewritten, DropReason> {
        let video = self.kind == MediaKind::Video;
        let clock = |layer: u8| track.layers.get(usize::from(layer)).and_then(|layer| layer.clock);
        let situation = match switch.from {
            Some(from) if self.live >> from & 1 == 1 => Situation::Running,
            None if self.last_source == Some(source) => self.situation,
            _ => Situation::Rebound,
        };
        let old = self.last_layer().map_or(self.last_clock, clock);
        let shift = self.timestamps.shift();
        let new = clock(packet.layer);
        let timestamp = self
            .timestamps
            .switch(packet.timestamp, old, new, situation, now)
            .map_err(|_| DropReason::WaitingForKeyframe)?;
        self.remember(view, switch, shift, now);
        let forward = self.selector.switched(view);
        let index = self.seq.switch(source, packet.ext_seq, video && switch.hole);
        let prefix = self.payload.switch(&packet.frame);
        if let Some(described) = &packet.described {
            self.descriptors.switch(&described.dependency);
        }
        self.last_source = Some(source);
        self.stats.switches += 1;
        self.report_at = Some(now + FIRST_REPORT_AFTER);
        if video {
            self.responder.on_keyframe(index, now);
            self.last_keyframe = Some(now);
        }
        // The receiver still has the orientation of the layer before.
        let orientation = packet.extensions.orientation.or(self.orientation);
        self.orientation = orientation;
        let marker = forward.marker || !video;
        Ok(Rewritten {
            index,
            fields: self.fields(index, timestamp, marker, types.media),
            prefix,
            orientation,
            descriptor: self.describe(packet, forward),
        })
    }

    fn describe(&mut self, packet: &SourcePacket, forward: Forward) -> Option<Change> {
        let described = packet.described.as_ref().filter(|_| self.takes_descriptors)?;
        Some(self.descriptors.map(&described.dependency, forward.targets))
    }

    /// Counts a packet that went out.
    #[inline]
    pub(crate) fn on_sent(&mut self, rewritten: &Rewritten, payload_len: usize, now: Instant) {
        self.sender.on_sent(rewritten.fields.timestamp, payload_len, now);
        self.stats.packets += 1;
        self.stats.bytes += payload_len as u64;
    }

    fn fields(&self, index: u64, timestamp: u32, marker: bool, payload_type: u8) -> HeaderFields {
        HeaderFields { marker, payload_type, sequence: index as u16, timestamp, ssrc: self.ssrc }
    }

    /// The name of a layer of the bound track in the sequence map.
    pub(super) fn source(&self, layer: u8) -> u32 {
        self.generation << 3 | u32::from(layer & 7)
    }

    /// What decides about a packet: where there is a dependency descriptor, that, also for those who
    /// do not get it themselves. They know pictures by their markers, and decode what comes; but who
    /// takes a publisher's place gets the whole stream.
    pub(super) fn view<'a>(&self, packet: &'a SourcePacket, newest: bool) -> Packet<'a> {
        let described = packet.described.as_ref().filter(|_| !self.publishes);
        Packet {
            stream: packet.layer,
            seq: packet.ext_seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            newest,
            frame: &packet.frame,
            dependency: described.map(|described| &described.dependency),
        }
    }
}
