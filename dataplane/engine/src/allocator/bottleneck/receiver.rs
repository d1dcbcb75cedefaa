//! A receiver: reports arrivals, asks for what is missing, shows frames, counts freezes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A missing packet is waited for so long; then its frame is given up.
const PATIENCE: Duration = Duration::from_millis(300);

/// What the link carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Transport-wide sequence number.
    pub(super) seq: u64,
    pub(super) payload: Payload,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Payload {
    Audio { number: u64 },
    Video(Part),
    Padding,
}

/// One packet of a frame, as the receiver knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Counts forwarded frames.
    pub(super) frame: u64,
    pub(super) temporal: u8,
    pub(super) keyframe: bool,
    pub(super) index: usize,
    pub(super) count: usize,
    pub(super) size: usize,
}

#[derive(Debug)]
struct Assembly {
    temporal: u8,
    keyframe: bool,
    count: usize,
    parts: BTreeSet<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Arrivals not reported yet.
    pub(super) arrived: Vec<(u64, Instant)>,
    frames: BTreeMap<u64, Assembly>,
    next_frame: u64,
    /// Frames refer to one that was never complete.
    broken: bool,
    stuck_since: Option<Instant>,
    pub(super) shown: Vec<Instant>,
    pub(super) wants_keyframe: bool,
    pub(super) audio: u64,
    pub(super) audio_delay: Vec<(Instant, u64)>,
}

impl Receiver {
    pub(super) fn take(&mut self, packet: Sent, now: Instant) {
        self.arrived.push((packet.seq, now));
        match packet.payload {
            Payload::Audio { number } => {
                self.audio += 1;
                self.audio_delay.push((now, number));
            }
            Payload::Video(part) if part.frame >= self.next_frame => {
                let assembly = self.frames.entry(part.frame).or_insert_with(|| Assembly {
                    temporal: part.temporal,
                    keyframe: part.keyframe,
                    count: part.count,
                    parts: BTreeSet::new(),
                });
                assembly.parts.insert(part.index);
            }
            _ => {}
        }
        self.show(now);
    }

    /// Gives up frames that are waited for too long. Call now and then.
    pub(super) fn show(&mut self, now: Instant) {
        loop {
            self.skip_to_keyframe();
            let ready = self
                .frames
                .get(&self.next_frame)
                .is_some_and(|frame| frame.parts.len() == frame.count);
            if ready {
                if let Some(frame) = self.frames.remove(&self.next_frame) {
                    self.broken &= !frame.keyframe;
                }
                self.next_frame += 1;
                self.stuck_since = None;
                if self.broken {
                    self.wants_keyframe = true;
                } else {
                    self.shown.push(now);
                }
                continue;
            }
            let later = self.frames.keys().any(|number| *number > self.next_frame);
            if !later {
                return;
            }
            let since = *self.stuck_since.get_or_insert(now);
            if now < since + PATIENCE {
                return;
            }
            // Frames above the base are no loss for those that follow.
            let base = self.frames.remove(&self.next_frame).is_none_or(|f| f.temporal == 0);
            self.broken |= base;
            self.wants_keyframe |= base;
            self.next_frame += 1;
            self.stuck_since = None;
        }
    }

    fn skip_to_keyframe(&mut self) {
        let complete = self.frames.iter().rev().find(|(number, frame)| {
            **number > self.next_frame && frame.keyframe && frame.parts.len() == frame.count
        });
        if let Some((number, _)) = complete {
            self.next_frame = *number;
            self.frames = self.frames.split_off(&self.next_frame);
        }
    }
}
