//! Synthetic publishers and meters for load tests: the client side of a benchmark, without codecs.
//!
//! Every generated payload ends in a [`Stamp`], so a meter reads the send time whatever the codec
//! header in front of it became on the way (a forwarder may renumber a VP8 descriptor in place).

mod generator;
mod histogram;
mod meter;

pub use generator::{
    AudioSpec, GeneratedPacket, Generator, GeneratorSpec, VideoLayerSpec, VideoSpec,
};
pub use histogram::Histogram;
pub(crate) use meter::tables;
pub use meter::{Meter, MeterStats};

use std::time::{Duration, Instant};

/// A meter of a load test. Python allocates it, counts up, never reuses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MeterId(pub u64);

/// Marks a payload as ours; any four bytes that Opus or VP8 data seldom end in.
const STAMP_MAGIC: [u8; 4] = *b"AirS";

/// Send time and count of one generated packet: the last 20 bytes of its payload.
///
/// ```text
/// magic (4 bytes) | send time, ns since the epoch of the plane (u64) | counter of its layer (u64)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since the common epoch of all workers of one plane.
    pub sent_ns: u64,
    /// Counts the packets of one layer from 0.
    pub counter: u64,
}

impl Stamp {
    /// Bytes on the wire.
    pub const LEN: usize = 20;

    /// The stamp for a packet made at `now`.
    #[must_use]
    pub fn new(epoch: Instant, now: Instant, counter: u64) -> Self {
        Self { sent_ns: nanos(now.saturating_duration_since(epoch)), counter }
    }

    /// Overwrites the end of `payload`. A payload shorter than [`Stamp::LEN`] is left as it is.
    pub fn write(self, payload: &mut [u8]) {
        if let Some(tail) = payload.last_chunk_mut::<{ Self::LEN }>() {
            tail[..4].copy_from_slice(&STAMP_MAGIC);
            tail[4..12].copy_from_slice(&self.sent_ns.to_be_bytes());
            tail[12..].copy_from_slice(&self.counter.to_be_bytes());
        }
    }

    /// Reads the end of `payload`; `None` when it was not written by a generator.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (magic, rest) = payload.last_chunk::<{ Self::LEN }>()?.split_first_chunk::<4>()?;
        let (sent_ns, rest) = rest.split_first_chunk::<8>()?;
        let counter = rest.first_chunk::<8>()?;
        (*magic == STAMP_MAGIC).then(|| Self {
            sent_ns: u64::from_be_bytes(*sent_ns),
            counter: u64::from_be_bytes(*counter),
        })
    }

    /// Time from the generator to `now`; zero if the clocks disagree.
    #[must_use]
    pub fn age(self, epoch: Instant, now: Instant) -> Duration {
        let now_ns = nanos(now.saturating_duration_since(epoch));
        Duration::from_nanos(now_ns.saturating_sub(self.sent_ns))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_survives_any_header_in_front() {
        let epoch = Instant::now();
        let sent = epoch + Duration::from_millis(5);
        let mut payload = vec![0x90; 50];
        Stamp::new(epoch, sent, 7).write(&mut payload);
        payload[0] = 0xff;
        let stamp = Stamp::read(&payload).unwrap();
        assert_eq!(stamp.counter, 7);
        assert_eq!(stamp.age(epoch, sent + Duration::from_micros(30)), Duration::from_micros(30));
    }

    #[test]
    fn every_truncation_is_no_stamp() {
        let epoch = Instant::now();
        let mut payload = [0u8; Stamp::LEN];
        Stamp::new(epoch, epoch, 1).write(&mut payload);
        for len in 0..Stamp::LEN {
            assert_eq!(Stamp::read(&payload[..len]), None);
        }
        assert_eq!(Stamp::read(&[0; 64]), None);
    }
}
