//! Publishers that make real payloads, and a subscriber that puts the parts together, for tests.

mod av1;
mod subscriber;
mod vp8;
mod vp9;

pub(super) use av1::Av1;
pub(super) use subscriber::{Received, Subscriber, assert_contiguous};
pub(super) use vp8::Vp8;
pub(super) use vp9::Vp9;

/// A packet as a publisher makes it.
#[derive(Debug, Clone)]
pub(in crate::layers) struct Sent {
    pub(in crate::layers) stream: u8,
    pub(in crate::layers) seq: u64,
    pub(in crate::layers) timestamp: u32,
    pub(in crate::layers) marker: bool,
    pub(in crate::layers) payload: Vec<u8>,
    pub(in crate::layers) descriptor: Option<Vec<u8>>,
}

/// Numbers packets of one stream.
#[derive(Debug, Clone)]
pub(in crate::layers) struct Stream {
    pub(in crate::layers) index: u8,
    pub(in crate::layers) seq: u64,
    pub(in crate::layers) timestamp: u32,
}

impl Stream {
    pub(in crate::layers) fn new(index: u8) -> Self {
        Self { index, seq: 70_000 * (u64::from(index) + 1), timestamp: 9000 * u32::from(index) }
    }

    /// Packets of one frame by their payloads; `last` ends the picture.
    pub(in crate::layers) fn frame(&mut self, payloads: Vec<Vec<u8>>, last: bool) -> Vec<Sent> {
        let count = payloads.len();
        let mut packets = Vec::new();
        for (at, payload) in payloads.into_iter().enumerate() {
            packets.push(Sent {
                stream: self.index,
                seq: self.seq,
                timestamp: self.timestamp,
                marker: last && at + 1 == count,
                payload,
                descriptor: None,
            });
            self.seq += 1;
        }
        if last {
            self.timestamp = self.timestamp.wrapping_add(3000);
        }
        packets
    }
}
