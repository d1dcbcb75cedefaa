//! One source packet to this subscriber's copy of it: what changes and what it is called.

use std::time::Instant;

use super::{FIRST_REPORT_AFTER, PayloadTypes, Slot};
use crate::codec::{Keyframe, Prefix};
use crate::command::MediaKind;
use crate::error::DropReason;
use crate::packet::SourcePacket;
use crate::rtp::HeaderFields;
use crate::seq_map::Unmapped;
use crate::timestamps::Situation;
use crate::track::Layer;

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
}

/// A packet that is sent again, by RTX (RFC 4588).
#[derive(Debug)]
pub(crate) struct Resent {
    pub(crate) index: u64,
    pub(crate) fields: HeaderFields,
    /// Sequence number it had, first in the payload.
    pub(crate) original: u16,
    pub(crate) prefix: Prefix,
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
        layers: &[Layer],
        now: Instant,
    ) -> Result<Rewritten, DropReason> {
        let source = self.source(packet.layer);
        if packet.payload.is_empty() {
            self.seq.exclude(source, packet.ext_seq);
            return Err(DropReason::PaddingOnly);
        }
        let bound = self.bound.as_ref().ok_or(DropReason::NoSubscriber)?;
        let types = bound.payload_types.get(usize::from(packet.codec)).copied().flatten();
        let types = types.ok_or(DropReason::RtpUnknownPayloadType)?;
        if packet.restart && self.current == Some(packet.layer) {
            self.stop(Situation::Unmuted);
        }
        if self.current == Some(packet.layer) {
            self.go_on(source, packet, types, now)
        } else {
            self.start(source, packet, types, layers, now)
        }
    }

    /// A packet of the layer that is forwarded.
    fn go_on(
        &mut self,
        source: u32,
        packet: &SourcePacket,
        types: PayloadTypes,
        now: Instant,
    ) -> Result<Rewritten, DropReason> {
        self.follow_temporal_wish(packet);
        if packet.frame.temporal > self.temporal {
            // Closes the gap, or the receiver would ask for what it was never meant to get.
            self.seq.exclude(source, packet.ext_seq);
            self.payload.exclude(&packet.frame);
            return Err(DropReason::LayerNotWanted);
        }
        let newest_before = self.seq.last_out();
        let index = self.seq.map(source, packet.ext_seq)?;
        let prefix = self.payload.map(&packet.frame).ok_or(DropReason::TooOld)?;
        let timestamp = self.timestamps.map(packet.timestamp, now);
        if newest_before.is_none_or(|newest| index > newest) {
            self.frame_complete = packet.frame.end || packet.marker;
        } else {
            self.responder.on_late(index, now);
        }
        if packet.extensions.orientation.is_some() {
            self.orientation = packet.extensions.orientation;
        }
        if packet.frame.keyframe == Keyframe::Yes && self.kind == MediaKind::Video {
            self.responder.on_keyframe(index);
        }
        Ok(Rewritten {
            index,
            fields: self.fields(index, timestamp, packet.marker, types.media),
            prefix,
            orientation: packet.extensions.orientation,
        })
    }

    /// A packet of another layer, or the first one of a source: perhaps a start. If it was not the
    /// newest of its layer, the caller goes on with those that followed it.
    fn start(
        &mut self,
        source: u32,
        packet: &SourcePacket,
        types: PayloadTypes,
        layers: &[Layer],
        now: Instant,
    ) -> Result<Rewritten, DropReason> {
        let video = self.kind == MediaKind::Video;
        let begins = !video || packet.frame.keyframe == Keyframe::Yes;
        let newest = layers.get(usize::from(packet.layer)).and_then(Layer::newest);
        let behind = newest.map_or(0, |newest| newest.saturating_sub(packet.ext_seq));
        if behind > MAX_CATCH_UP || !begins || !self.may_start(packet.layer) {
            return Err(match (self.current, self.target) {
                (_, None) => DropReason::Paused,
                (None, _) => DropReason::WaitingForKeyframe,
                _ => DropReason::LayerNotWanted,
            });
        }
        let clock = |layer: u8| layers.get(usize::from(layer)).and_then(|layer| layer.clock);
        let situation = match self.current {
            Some(_) => Situation::Running,
            None if self.last_source == Some(source) => self.situation,
            None => Situation::Rebound,
        };
        let old = self.last_layer().map_or(self.last_clock, clock);
        let new = clock(packet.layer);
        let timestamp = self
            .timestamps
            .switch(packet.timestamp, old, new, situation, now)
            .map_err(|_| DropReason::WaitingForKeyframe)?;
        let index = self.seq.switch(source, packet.ext_seq, video && !self.frame_complete);
        let prefix = self.payload.switch(&packet.frame);
        self.last_source = Some(source);
        self.current = Some(packet.layer);
        self.temporal = self.target.map_or(0, |target| target.temporal);
        self.frame_complete = packet.frame.end || packet.marker;
        self.stats.switches += 1;
        self.report_at = Some(now + FIRST_REPORT_AFTER);
        if video {
            self.responder.on_keyframe(index);
        }
        // The receiver still has the orientation of the layer before.
        let orientation = packet.extensions.orientation.or(self.orientation);
        self.orientation = orientation;
        let marker = packet.marker || !video;
        Ok(Rewritten {
            index,
            fields: self.fields(index, timestamp, marker, types.media),
            prefix,
            orientation,
        })
    }

    /// Down at any frame border; up where a frame needs nothing of what was left out.
    fn follow_temporal_wish(&mut self, packet: &SourcePacket) {
        let wish = self.target.map_or(0, |target| target.temporal);
        if wish == self.temporal || packet.late || !packet.frame.start {
            return;
        }
        let frame = &packet.frame;
        if wish < self.temporal || frame.keyframe == Keyframe::Yes {
            self.temporal = wish;
        } else if frame.switch_up && frame.temporal <= wish {
            self.temporal = self.temporal.max(frame.temporal);
        }
    }

    /// Counts a packet that went out.
    #[inline]
    pub(crate) fn on_sent(&mut self, rewritten: &Rewritten, payload_len: usize, now: Instant) {
        self.sender.on_sent(rewritten.fields.timestamp, payload_len, now);
        self.stats.packets += 1;
        self.stats.bytes += payload_len as u64;
    }

    /// The layer and extended source number behind a number the receiver misses, as (layer,
    /// source number, output number). `None`: never existed, or belongs to an earlier source.
    pub(crate) fn lost(&self, sequence: u16) -> Option<(u8, u64, u64)> {
        let out = self.seq.extend_out(sequence)?;
        let found = self.seq.source_of(out)?;
        let layer = self.current?;
        (found.source == self.source(layer)).then_some((layer, found.seq, out))
    }

    /// What to send for a lost packet that is still cached. `None`: RTX was not agreed, or the
    /// packet was not forwarded. Without RTX nothing is sent again: under AES-GCM one number may
    /// never stand for two different packets, and the same bytes are not kept.
    pub(crate) fn resend(&mut self, packet: &SourcePacket, out: u64) -> Option<Resent> {
        let ssrc = self.rtx_ssrc?;
        let bound = self.bound.as_ref()?;
        let payload_type = bound.payload_types.get(usize::from(packet.codec))?.as_ref()?.rtx?;
        let prefix = self.payload.get(&packet.frame)?;
        let index = self.next_rtx;
        self.next_rtx += 1;
        self.stats.resent += 1;
        let fields = HeaderFields {
            marker: packet.marker,
            payload_type,
            sequence: index as u16,
            timestamp: self.timestamps.get(packet.timestamp),
            ssrc,
        };
        Some(Resent { index, fields, original: out as u16, prefix })
    }

    fn fields(&self, index: u64, timestamp: u32, marker: bool, payload_type: u8) -> HeaderFields {
        HeaderFields { marker, payload_type, sequence: index as u16, timestamp, ssrc: self.ssrc }
    }

    /// The name of a layer of the bound track in the sequence map.
    pub(super) fn source(&self, layer: u8) -> u32 {
        self.generation << 3 | u32::from(layer & 7)
    }
}
