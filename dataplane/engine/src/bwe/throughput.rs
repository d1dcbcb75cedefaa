//! What really arrives: the acknowledged bit rate, robust against bursts and pauses
//! (libwebrtc `robust_throughput_estimator.cc`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::bwe::history::SentPacket;
use crate::units::Bitrate;

const WINDOW: Duration = Duration::from_millis(750);
const MIN_PACKETS: usize = 10;
/// After silence the measurement begins anew.
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PACKETS: usize = 500;
/// What arrives while the path is full: short, so that it says nothing of the time before.
const RECENT_WINDOW: Duration = Duration::from_millis(150);
const MIN_RECENT_PACKETS: usize = 4;
/// Shorter measurements say too little.
const MIN_INTERVAL: Duration = Duration::from_millis(80);

#[derive(Debug, Default)]
pub(super) struct Throughput {
    /// Arrival on the peer's clock, departure on ours, bytes; by arrival.
    packets: VecDeque<(Duration, Instant, usize)>,
}

impl Throughput {
    /// Takes the next packet in order of arrival.
    pub(super) fn add(&mut self, sent: &SentPacket, arrival: Duration) {
        if self.packets.back().is_some_and(|last| arrival < last.0) {
            return;
        }
        if self.packets.back().is_some_and(|last| arrival - last.0 > PAUSE) {
            self.packets.clear();
        }
        self.packets.push_back((arrival, sent.at, sent.size));
        while self.packets.len() > MAX_PACKETS
            || self.packets.front().is_some_and(|first| arrival - first.0 > WINDOW)
                && self.packets.len() > MIN_PACKETS
        {
            self.packets.pop_front();
        }
    }

    /// How fast the newest packets arrived. While a queue grows this is what the path takes, even if
    /// much less, or much more, was sent just before; then [`Self::rate`] is a mean of both.
    pub(super) fn recent_rate(&self) -> Option<Bitrate> {
        let last = self.packets.back()?.0;
        let recent = self.packets.iter().rev().take_while(|p| last - p.0 <= RECENT_WINDOW);
        let (mut count, mut bytes, mut first) = (0, 0, (last, 0));
        for (arrival, _, size) in recent {
            count += 1;
            bytes += size;
            first = (*arrival, *size);
        }
        let interval = last - first.0;
        if count < MIN_RECENT_PACKETS || interval < MIN_INTERVAL {
            return self.rate();
        }
        Some(Bitrate::from_f64_bps((bytes - first.1) as f64 * 8.0 / interval.as_secs_f64()))
    }

    /// The lower of how fast they left and how fast they arrived; `None`: too few to say.
    pub(super) fn rate(&self) -> Option<Bitrate> {
        if self.packets.len() < MIN_PACKETS {
            return None;
        }
        let (first, last) = (self.packets.front()?, self.packets.back()?);
        let total: usize = self.packets.iter().map(|p| p.2).sum();
        let arrived = without_largest_gap(self.packets.iter().map(|p| p.0), last.0 - first.0);
        let sends = self.packets.iter().map(|p| p.1);
        let (first_sent, last_sent) = (sends.clone().min()?, sends.max()?);
        let sent = last_sent - first_sent;
        // The first packet marks the start: its bytes came before the interval.
        let bytes = total - first.2;
        let interval = arrived.max(sent).max(MIN_INTERVAL);
        Some(Bitrate::from_f64_bps(bytes as f64 * 8.0 / interval.as_secs_f64()))
    }
}

/// The interval with its largest gap replaced by the second largest: a pause is not slowness.
fn without_largest_gap(times: impl Iterator<Item = Duration>, whole: Duration) -> Duration {
    let (mut largest, mut second, mut previous) = (Duration::ZERO, Duration::ZERO, None);
    for time in times {
        if let Some(gap) = previous.map(|p| time.saturating_sub(p)) {
            if gap > largest {
                second = largest;
                largest = gap;
            } else if gap > second {
                second = gap;
            }
        }
        previous = Some(time);
    }
    whole.saturating_sub(largest) + second
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn packet(at: Instant) -> SentPacket {
        SentPacket { seq: 0, size: 1000, probe: None, at }
    }

    #[test]
    fn a_steady_stream_is_measured_within_five_percent() {
        let (mut throughput, start) = (Throughput::default(), Instant::now());
        for i in 0..100_u32 {
            throughput.add(&packet(start + 8 * i * MS), 8 * i * MS);
        }
        let rate = throughput.rate().unwrap().as_f64_bps();
        assert!((rate / 1e6 - 1.0).abs() < 0.05, "{rate}");
    }

    #[test]
    fn a_bottleneck_shows_its_rate_not_the_sender_s() {
        let (mut throughput, start) = (Throughput::default(), Instant::now());
        for i in 0..100_u32 {
            throughput.add(&packet(start + 4 * i * MS), 16 * i * MS);
        }
        let rate = throughput.rate().unwrap().as_f64_bps();
        assert!((rate / 5e5 - 1.0).abs() < 0.05, "{rate}");
    }

    #[test]
    fn the_recent_rate_forgets_a_cut_at_once() {
        let (mut throughput, start) = (Throughput::default(), Instant::now());
        for i in 0..100_u32 {
            let arrival = if i < 60 { 4 * i } else { 240 + 32 * (i - 60) };
            throughput.add(&packet(start + 4 * i * MS), arrival * MS);
        }
        let rate = throughput.recent_rate().unwrap().as_f64_bps();
        assert!((rate / 2.5e5 - 1.0).abs() < 0.05, "{rate}");
    }

    #[test]
    fn too_few_packets_say_nothing() {
        let mut throughput = Throughput::default();
        throughput.add(&packet(Instant::now()), MS);
        assert_eq!(throughput.rate(), None);
    }
}
