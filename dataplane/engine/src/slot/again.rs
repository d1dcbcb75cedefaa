//! What is sent again to a subscriber: which packet a number was, and how it looked.

use std::time::{Duration, Instant};

use super::Slot;
use crate::codec::dependency_descriptor::{Change, Rewriter};
use crate::codec::{PayloadRewriter, Prefix};
use crate::layers::{Packet, Selector, Switch};
use crate::packet::SourcePacket;
use crate::rtp::HeaderFields;
use crate::seq_map::SeqMap;

/// A receiver shows what came before a switch until it has the keyframe, which on a path that loses
/// takes a round trip or two more; meanwhile that is still worth repairing.
const REMEMBERED: Duration = Duration::from_millis(500);

/// A packet that is sent again, by RTX (RFC 4588).
#[derive(Debug)]
pub(crate) struct Resent {
    pub(crate) index: u64,
    pub(crate) fields: HeaderFields,
    /// Sequence number it had, first in the payload.
    pub(crate) original: u16,
    pub(crate) prefix: Prefix,
    pub(crate) descriptor: Option<Change>,
}

/// A packet without anything in it, for a probe.
#[derive(Debug)]
pub(crate) struct Padding {
    pub(crate) index: u64,
    pub(crate) fields: HeaderFields,
}

/// How packets of the stream before the last switch went out.
#[derive(Debug)]
pub(super) struct Former {
    layer: u8,
    until: Instant,
    seq: SeqMap,
    selector: Selector,
    payload: PayloadRewriter,
    descriptors: Rewriter,
    /// Output minus source timestamp.
    shift: u32,
}

impl Slot {
    /// Before a switch: keeps what it takes to repair the stream that ends with it. Only of one that
    /// was smaller: to leave a larger one means that there is no room, not for its repair either.
    pub(super) fn remember(
        &mut self,
        first: &Packet<'_>,
        switch: Switch,
        shift: u32,
        now: Instant,
    ) {
        let smaller = switch.from.filter(|from| *from < first.stream);
        self.former = smaller.map(|layer| {
            Box::new(Former {
                layer,
                until: now + REMEMBERED,
                seq: self.seq.clone(),
                selector: self.selector.clone(),
                payload: self.payload.clone(),
                descriptors: self.descriptors.clone(),
                shift,
            })
        });
    }

    /// Frees what it took, once that is of no use any more.
    pub(super) fn forget_former(&mut self, now: Instant) {
        if self.former.as_ref().is_some_and(|former| now >= former.until) {
            self.former = None;
        }
    }

    /// The layer and extended source number behind a number the receiver misses, as (layer,
    /// source number, output number). `None`: never existed, or belongs to an earlier source.
    pub(crate) fn lost(&self, sequence: u16, now: Instant) -> Option<(u8, u64, u64)> {
        let out = self.seq.extend_out(sequence)?;
        let current = || {
            let found = self.seq.source_of(out)?;
            let layer = self.stream().filter(|layer| found.source == self.source(*layer))?;
            Some((layer, found.seq, out))
        };
        let former = || {
            let former = self.former.as_ref().filter(|former| now < former.until)?;
            let known = former.seq.last_out().is_some_and(|last| out <= last);
            let found = former.seq.source_of(out).filter(|_| known)?;
            Some((former.layer, found.seq, out))
        };
        current().or_else(former)
    }

    /// What to send for a lost packet that is still cached. `None`: RTX was not agreed, or the
    /// packet was not forwarded. What is sent again without RTX is in `sent.rs`.
    pub(crate) fn resend(&mut self, packet: &SourcePacket, out: u64) -> Option<Resent> {
        let ssrc = self.rtx_ssrc?;
        let bound = self.bound.as_ref()?;
        let payload_type = bound.payload_types.get(usize::from(packet.codec))?.as_ref()?.rtx?;
        let view = self.view(packet, false);
        let former = self.former.as_deref().filter(|former| {
            former.layer == packet.layer && self.selector.stream() != Some(packet.layer)
        });
        let (selector, payload, descriptors, shift) = match former {
            Some(former) => (&former.selector, &former.payload, &former.descriptors, former.shift),
            None => (&self.selector, &self.payload, &self.descriptors, self.timestamps.shift()),
        };
        let forward = selector.again(&view)?;
        let prefix = payload.get(&packet.frame)?;
        let told = packet.described.is_some() && self.takes_descriptors;
        let descriptor = told.then(|| descriptors.get(forward.targets));
        let index = self.next_rtx;
        self.next_rtx += 1;
        let fields = HeaderFields {
            marker: forward.marker,
            payload_type,
            sequence: index as u16,
            timestamp: packet.timestamp.wrapping_add(shift),
            ssrc,
        };
        Some(Resent { index, fields, original: out as u16, prefix, descriptor })
    }

    /// The `back`-newest packet sent, as [`Self::lost`] names it.
    pub(crate) fn recent(&self, back: u64, now: Instant) -> Option<(u8, u64, u64)> {
        let out = self.seq.last_out()?.checked_sub(back)?;
        self.lost(out as u16, now)
    }

    /// Payload type for padding. `None`: RTX was not agreed.
    pub(crate) fn padding_type(&self) -> Option<u8> {
        self.rtx_ssrc?;
        self.codecs.iter().find_map(|codec| codec.rtx_payload_type)
    }

    /// The next packet of padding.
    pub(crate) fn padding(&mut self, payload_type: u8) -> Option<Padding> {
        let ssrc = self.rtx_ssrc?;
        let index = self.next_rtx;
        self.next_rtx += 1;
        let timestamp = self.sender.last_timestamp();
        let fields =
            HeaderFields { marker: false, payload_type, sequence: index as u16, timestamp, ssrc };
        Some(Padding { index, fields })
    }
}
