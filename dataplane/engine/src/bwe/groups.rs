//! Packet groups: bursts become one point of the delay measurement (gcc-02 section 5.2).

use std::time::{Duration, Instant};

/// Packets sent within this time of the first form a group.
const GROUP_LENGTH: Duration = Duration::from_millis(5);
/// A burst that arrives together: next packet within this time of the last arrival...
const BURST_DELTA: Duration = Duration::from_millis(5);
/// ...as long as the whole group took less than this to arrive.
const BURST_LENGTH: Duration = Duration::from_millis(100);
/// An arrival clock that jumped by more than this started anew.
const ARRIVAL_JUMP: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Instant,
    last_sent: Instant,
    first_arrival: Duration,
    last_arrival: Duration,
}

/// How two neighbouring groups were spaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delta {
    /// Between their last packets, at the sender, in milliseconds.
    pub(super) sent_ms: f64,
    /// Between their last packets, at the receiver, in milliseconds.
    pub(super) arrived_ms: f64,
    /// When the newer one had arrived, in milliseconds on the peer's clock.
    pub(super) arrival_ms: f64,
}

/// Forms groups out of acknowledged packets.
#[derive(Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    previous: Option<Group>,
}

impl Groups {
    /// Takes the next packet in order of arrival; a new group completes the one before it.
    pub(super) fn add(&mut self, sent: Instant, arrival: Duration) -> Option<Delta> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(sent, arrival));
            return None;
        };
        if sent < current.first_sent {
            return None; // Reordered: it says nothing about the queue now.
        }
        if !current.ends_before(sent, arrival) {
            current.last_sent = current.last_sent.max(sent);
            current.last_arrival = current.last_arrival.max(arrival);
            return None;
        }
        let delta = self.previous.and_then(|previous| current.after(&previous));
        self.previous = Some(*current);
        let jumped = arrival.abs_diff(current.last_arrival) > ARRIVAL_JUMP;
        if jumped {
            self.previous = None;
        }
        self.current = Some(Group::of(sent, arrival));
        delta
    }
}

impl Group {
    fn of(sent: Instant, arrival: Duration) -> Self {
        Self { first_sent: sent, last_sent: sent, first_arrival: arrival, last_arrival: arrival }
    }

    fn ends_before(&self, sent: Instant, arrival: Duration) -> bool {
        !self.bursts_with(sent, arrival) && sent - self.first_sent > GROUP_LENGTH
    }

    /// Whether the packet came out of the same queue in one go.
    fn bursts_with(&self, sent: Instant, arrival: Duration) -> bool {
        let between_sends = sent.saturating_duration_since(self.last_sent);
        if between_sends.is_zero() {
            return true;
        }
        let between_arrivals = arrival.saturating_sub(self.last_arrival);
        between_arrivals < between_sends
            && between_arrivals <= BURST_DELTA
            && arrival.saturating_sub(self.first_arrival) < BURST_LENGTH
    }

    fn after(&self, previous: &Self) -> Option<Delta> {
        let arrived = self.last_arrival.checked_sub(previous.last_arrival)?;
        Some(Delta {
            sent_ms: self.last_sent.duration_since(previous.last_sent).as_secs_f64() * 1e3,
            arrived_ms: arrived.as_secs_f64() * 1e3,
            arrival_ms: self.last_arrival.as_secs_f64() * 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_frame_sent_at_once_is_one_group() {
        let (mut groups, start) = (Groups::default(), Instant::now());
        let mut deltas = Vec::new();
        for frame in 0..4_u32 {
            for packet in 0..10_u32 {
                let sent = start + 33 * frame * MS;
                let arrival = 50 * MS + 33 * frame * MS + packet * MS;
                deltas.extend(groups.add(sent, arrival));
            }
        }
        assert_eq!(deltas.len(), 2, "a delta needs two complete groups");
        assert!((deltas[0].sent_ms - 33.0).abs() < 0.01);
        assert!((deltas[0].arrived_ms - 33.0).abs() < 0.01);
    }

    #[test]
    fn a_growing_queue_shows_in_the_deltas() {
        let (mut groups, start) = (Groups::default(), Instant::now());
        let deltas: Vec<_> =
            (0..10_u32).filter_map(|i| groups.add(start + 20 * i * MS, 22 * i * MS)).collect();
        assert!(deltas.iter().all(|d| (d.arrived_ms - d.sent_ms - 2.0).abs() < 0.01));
    }

    #[test]
    fn reordered_packets_do_not_disturb() {
        let (mut groups, start) = (Groups::default(), Instant::now());
        groups.add(start + 20 * MS, 20 * MS);
        assert!(groups.add(start, 21 * MS).is_none());
    }
}
