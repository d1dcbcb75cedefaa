//! Temporal layers of VP8 (TID), H.265 (temporal id) and H.264, whose frames that nobody refers to
//! count as a second layer.
//!
//! Down at any frame border; up one layer at a frame of it that needs no earlier one of it (VP8 Y,
//! H.265 TSA and STSA), or everything at a keyframe. AV1 without dependency descriptor tells the
//! layer (OBU extension) and no such frame: only keyframes bring more.
//!
//! Receivers of these codecs tell frames apart by sequence numbers, so a hole must not stay where
//! nothing is missing. What was lost beside a left out picture is left out with it when picture ids
//! say so; when it is unclear what was lost, the next picture is forwarded even if unwanted, and so
//! is a late picture of which nothing was seen: their numbers have their places already.

use super::Packet;
use super::filter::Verdict;
use super::history::History;
use crate::codec::{Codec, Detail, FrameInfo, Keyframe};
use crate::layer::Layer;

/// Temporal layer of a frame, as far as its codec shows it.
pub(super) fn layer(codec: Codec, frame: &FrameInfo) -> u8 {
    match codec {
        Codec::H264 => u8::from(frame.discardable),
        _ => frame.temporal,
    }
}

#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: u32,
    picture: Option<u64>,
    kept: bool,
}

#[derive(Clone, Debug)]
pub(super) struct TemporalFilter {
    codec: Codec,
    current: u8,
    limit: u8,
    /// Whether a picture is forwarded.
    pictures: History<bool>,
    last: Option<Last>,
}

impl TemporalFilter {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, current: 0, limit: 0, pictures: History::default(), last: None }
    }

    pub(super) fn start(&mut self, packet: &Packet<'_>, limit: Layer) -> Verdict {
        self.pictures.clear();
        self.last = None;
        self.decide(packet, 0, limit)
    }

    pub(super) fn decide(&mut self, packet: &Packet<'_>, gap: u16, limit: Layer) -> Verdict {
        // Most packets are of the picture seen last or begin a new one: no search for those.
        let known = match self.last.filter(|_| packet.newest) {
            Some(last) if last.timestamp == packet.timestamp => Some(last.kept),
            Some(_) => None,
            None => self.pictures.get(packet.timestamp),
        };
        if !packet.newest {
            return if known.unwrap_or(true) {
                Verdict::keep(packet.marker)
            } else {
                Verdict::LEAVE_OUT
            };
        }
        let before = Before::of(packet, gap, self.last);
        let keep = known.unwrap_or_else(|| {
            let keep = self.wants(packet.frame, limit.temporal) || before == Before::Unclear;
            self.pictures.push(packet.timestamp, keep);
            keep
        });
        self.last =
            Some(Last { timestamp: packet.timestamp, picture: picture(packet.frame), kept: keep });
        let of_left_out = match before {
            Before::OfLast { kept } => !kept,
            Before::OfBoth { kept } => !kept && !keep,
            Before::Nothing | Before::Unclear => false,
        };
        Verdict { keep, lost: if of_left_out { gap } else { 0 }, ..Verdict::keep(packet.marker) }
    }

    pub(super) fn again(&self, packet: &Packet<'_>) -> Option<Verdict> {
        let kept = self.pictures.get(packet.timestamp).unwrap_or(true);
        kept.then(|| Verdict::keep(packet.marker))
    }

    pub(super) fn current(&self) -> Layer {
        Layer::new(0, self.current)
    }

    /// More temporal layers are wanted than another picture than a keyframe can bring.
    pub(super) fn needs_keyframe(&self) -> bool {
        self.codec == Codec::Av1 && self.limit > self.current
    }

    /// Follows the limit where a picture begins, and judges the picture.
    fn wants(&mut self, frame: &FrameInfo, limit: u8) -> bool {
        self.limit = limit;
        let temporal = layer(self.codec, frame);
        let may_switch_up = match self.codec {
            Codec::H264 => true,
            _ => frame.switch_up,
        };
        if frame.keyframe == Keyframe::Yes || limit < self.current {
            self.current = limit;
        } else if frame.start && may_switch_up && temporal == self.current + 1 && temporal <= limit
        {
            // One layer at a time: VP8's Y promises nothing about the layers between.
            self.current = temporal;
        }
        temporal <= self.current
    }
}

/// To which picture the numbers lost directly before a packet belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// To the end of the picture before.
    OfLast {
        kept: bool,
    },
    /// To the end of the one before and to the beginning of this one.
    OfBoth {
        kept: bool,
    },
    Unclear,
}

impl Before {
    fn of(packet: &Packet<'_>, gap: u16, last: Option<Last>) -> Self {
        let Some(last) = last.filter(|_| gap > 0) else { return Self::Nothing };
        let adjacent = match (last.picture, picture(packet.frame)) {
            (Some(before), Some(this)) => this.wrapping_sub(before) <= 1,
            _ => last.timestamp == packet.timestamp,
        };
        match (adjacent, packet.frame.start) {
            (true, true) => Self::OfLast { kept: last.kept },
            // Unless what was left out goes on, the head may be of an unwanted picture too.
            (true, false) if last.timestamp == packet.timestamp || !last.kept => {
                Self::OfBoth { kept: last.kept }
            }
            _ => Self::Unclear,
        }
    }
}

fn picture(frame: &FrameInfo) -> Option<u64> {
    match frame.detail {
        Detail::Vp8 { picture, .. } => picture,
        _ => None,
    }
}
