//! Publishers that make the payloads real encoders make, as far as forwarding looks into them: for
//! the unit tests of layers and for scenarios of whole engines.

#![allow(unreachable_pub, dead_code, unused_imports, reason = "two test crates use parts of it")]

mod av1;
mod h26x;
mod vp8;
mod vp9;

pub use av1::Av1;
pub use h26x::{H264, H265};
pub use vp8::Vp8;
pub use vp9::Vp9;

/// A packet as a publisher makes it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub stream: u8,
    pub seq: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub descriptor: Option<Vec<u8>>,
}

/// Numbers packets of one stream.
#[derive(Debug, Clone)]
pub struct Stream {
    pub index: u8,
    pub seq: u64,
    pub timestamp: u32,
}

impl Stream {
    pub fn new(index: u8) -> Self {
        Self { index, seq: 70_000 * (u64::from(index) + 1), timestamp: 9000 * u32::from(index) }
    }

    /// Packets of one frame by their payloads; `last` ends the picture.
    pub fn frame(&mut self, payloads: Vec<Vec<u8>>, last: bool) -> Vec<Sent> {
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

/// Writes bit fields, for making descriptors.
#[derive(Default)]
pub struct BitWriter(Vec<bool>);

impl BitWriter {
    pub fn put(&mut self, value: u32, count: u32) -> &mut Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            (0..8).fold(0, |byte, bit| byte << 1 | u8::from(bits.get(bit) == Some(&true)))
        };
        self.0.chunks(8).map(byte).collect()
    }
}
