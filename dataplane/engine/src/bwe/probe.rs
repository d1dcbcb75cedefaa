//! Probing: short bursts above the estimate find out what the path can take
//! (libwebrtc `probe_controller.cc`, `probe_bitrate_estimator.cc`).
//!
//! A forwarder has nothing of its own to send, so it probes only toward a goal, with
//! retransmissions of recent packets and padding, and leaves longer pauses after each failure.

use std::time::{Duration, Instant};

use crate::bwe::history::SentPacket;
use crate::pacer::MIN_PROBE_SIZE;
use crate::units::Bitrate;

/// A cluster lasts at least this long and has at least so many packets.
const MIN_LENGTH: Duration = Duration::from_millis(20);
const MIN_PACKETS: usize = 5;
/// At low rates it takes longer: a few small packets measure nothing.
const MIN_BYTES: usize = 4 * 1000;
/// Where packets of one time arrive scattered over this long, a cluster lasts so many times as long:
/// else it is the scatter that is measured. But no longer than the most.
const SCATTERS: u32 = 3;
const MAX_LENGTH: Duration = Duration::from_millis(200);
/// Aim beyond the goal, since the estimate keeps a reserve.
const OVERSHOOT: f64 = 1.2;
/// The first probes know nothing and may go far; later ones at most double.
const FIRST_STEPS: [f64; 2] = [3.0, 6.0];
const STEP: f64 = 2.0;
/// While losses limit the estimate.
const LOSSY_STEP: f64 = 1.5;
/// A step from the bottom: doubling a few kbit/s again and again would take minutes.
const LEAST: Bitrate = Bitrate::kbps(120);
/// A result above this share of the probe's rate is followed at once by the next step.
const SUCCESS: f64 = 0.7;
/// A cluster fills the path for a round trip and about as long as it lasts; by so much longer twice over
/// if it is longer than the least.
const FILLING: Duration = Duration::from_millis(400);
/// An estimate that a success did not raise by this has another limit.
const PROGRESS: f64 = 1.05;
/// Wait for a result before the next step.
const RESULT_WAIT: Duration = Duration::from_secs(1);
/// Pause between attempts at one goal, growing with failures.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
const PAUSE_GROWTH: f64 = 1.5;
/// No probing so soon after the path was overused.
const AFTER_DECREASE: Duration = Duration::from_millis(1500);
/// Share of a cluster that must have arrived.
const MIN_RECEIVED: f64 = 0.8;
const MAX_INTERVAL: Duration = Duration::from_secs(1);
/// Received slower than sent by this: the probe filled the path.
const SATURATED: f64 = 0.9;
const SATURATED_SHARE: f64 = 0.95;
/// Received faster than this times sent: measured nonsense.
const TOO_FAST: f64 = 2.0;

/// Names a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeId(pub u32);

/// An order to the sender: so many bytes in so many packets at this rate, beside the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeCluster {
    /// Given back with each packet of it.
    pub id: ProbeId,
    /// At which all packets of this transport together should leave while it lasts.
    pub rate: Bitrate,
    /// Lower bound of packets.
    pub min_packets: usize,
    /// Lower bound of bytes.
    pub min_bytes: usize,
}

/// A cluster under measurement.
#[derive(Clone, Copy, Debug)]
struct Measurement {
    cluster: ProbeCluster,
    /// The estimate that it is to raise.
    estimate: Bitrate,
    started: Instant,
    packets: usize,
    bytes: usize,
    /// First and last departure.
    sent: Option<(Instant, Instant)>,
    /// First and last arrival.
    arrived: Option<(Duration, Duration)>,
    received: usize,
    received_bytes: usize,
    /// Size of the packet that left last: it was under way when the interval ended.
    last_sent_size: usize,
    /// Size of the packet that arrived first: it had come when the interval began.
    first_arrived_size: usize,
}

/// Decides when to probe at what rate, and measures.
#[derive(Debug)]
pub(super) struct Prober {
    next_id: u32,
    goal: Option<Bitrate>,
    first_steps: usize,
    current: Option<Measurement>,
    pause: Duration,
    not_before: Option<Instant>,
    /// The estimate that the last successful cluster was to raise.
    raised_from: Option<Bitrate>,
    /// Until then the last cluster may fill the path.
    fills_until: Option<Instant>,
}

impl Prober {
    pub(super) fn new() -> Self {
        Self {
            next_id: 1,
            goal: None,
            first_steps: 0,
            current: None,
            pause: PAUSE.0,
            not_before: None,
            raised_from: None,
            fills_until: None,
        }
    }

    /// It has not probed yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.first_steps == 0
    }

    /// What the next better step needs in all; `None`: nothing to gain.
    pub(super) fn set_goal(&mut self, goal: Option<Bitrate>) {
        let lower = matches!((goal, self.goal), (Some(new), Some(old)) if new < old * 0.8);
        if lower || self.goal.is_none() {
            self.pause = PAUSE.0;
        }
        self.goal = goal;
    }

    /// The next cluster, if it is time for one.
    pub(super) fn poll(
        &mut self,
        estimate: Bitrate,
        loss_limited: bool,
        scatter: Duration,
        last_decrease: Option<Instant>,
        now: Instant,
    ) -> Option<ProbeCluster> {
        self.expire(now);
        let goal = self.goal? * OVERSHOOT;
        if goal <= estimate || self.current.is_some() {
            return None;
        }
        // What a probe measured is of no use while something else limits.
        if self.raised_from.take().is_some_and(|before| estimate < before * PROGRESS) {
            self.settle(None, now);
        }
        if self.not_before.is_some_and(|at| now < at)
            || last_decrease.is_some_and(|at| now - at < AFTER_DECREASE)
        {
            return None;
        }
        let step = match (loss_limited, FIRST_STEPS.get(self.first_steps)) {
            (true, _) => LOSSY_STEP,
            (false, Some(step)) => *step,
            (false, None) => STEP,
        };
        self.first_steps += 1;
        let rate = goal.min((estimate * step).max(LEAST));
        let length = (scatter * SCATTERS).clamp(MIN_LENGTH, MAX_LENGTH);
        let cluster = ProbeCluster {
            id: ProbeId(self.next_id),
            rate,
            min_packets: MIN_PACKETS,
            min_bytes: ((rate * length).as_bytes() as usize).max(MIN_BYTES),
        };
        self.next_id = self.next_id.wrapping_add(1).max(1);
        self.fills_until = Some(now + FILLING + (length - MIN_LENGTH) * 2);
        self.current = Some(Measurement {
            cluster,
            estimate,
            started: now,
            packets: 0,
            bytes: 0,
            sent: None,
            arrived: None,
            received: 0,
            received_bytes: 0,
            last_sent_size: 0,
            first_arrived_size: 0,
        });
        Some(cluster)
    }

    /// When `poll` may have something new.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.goal?;
        match &self.current {
            Some(current) => Some(current.started + RESULT_WAIT),
            None => self.not_before,
        }
    }

    /// A cluster left a moment ago.
    pub(super) fn is_filling(&self, now: Instant) -> bool {
        self.fills_until.is_some_and(|until| now < until)
    }

    /// A packet of a cluster has left.
    pub(super) fn on_sent(&mut self, id: ProbeId, size: usize) {
        if let Some(current) = self.current.as_mut().filter(|c| c.cluster.id == id) {
            current.packets += usize::from(size >= MIN_PROBE_SIZE);
            current.bytes += size;
        }
    }

    /// A packet of a cluster has arrived; gives the rate once the cluster says one. `congested`:
    /// whatever it says, the path is too full to go on.
    pub(super) fn on_arrival(
        &mut self,
        id: ProbeId,
        packet: &SentPacket,
        arrival: Duration,
        congested: bool,
        now: Instant,
    ) -> Option<Bitrate> {
        let current = self.current.as_mut().filter(|c| c.cluster.id == id)?;
        current.arrive(packet, arrival);
        let rate = current.result()?;
        let enough = rate >= current.cluster.rate * SUCCESS && rate > current.estimate;
        let raised_from = (enough && !congested).then_some(current.estimate);
        self.current = None;
        self.settle(raised_from, now);
        Some(rate)
    }

    fn expire(&mut self, now: Instant) {
        if self.current.is_some_and(|c| now - c.started > RESULT_WAIT) {
            self.current = None;
            self.settle(None, now);
        }
    }

    fn settle(&mut self, raised_from: Option<Bitrate>, now: Instant) {
        self.raised_from = raised_from;
        if raised_from.is_some() {
            self.pause = PAUSE.0;
            self.not_before = None;
        } else {
            self.first_steps = FIRST_STEPS.len();
            self.not_before = Some(now + self.pause);
            self.pause = self.pause.mul_f64(PAUSE_GROWTH).min(PAUSE.1);
        }
    }
}

impl Measurement {
    fn arrive(&mut self, packet: &SentPacket, arrival: Duration) {
        self.received += usize::from(packet.size >= MIN_PROBE_SIZE);
        self.received_bytes += packet.size;
        let (first, last) = self.sent.get_or_insert((packet.at, packet.at));
        *first = (*first).min(packet.at);
        if packet.at >= *last {
            *last = packet.at;
            self.last_sent_size = packet.size;
        }
        if self.arrived.is_none_or(|(first, _)| arrival < first) {
            self.first_arrived_size = packet.size;
        }
        let (first, last) = self.arrived.get_or_insert((arrival, arrival));
        *first = (*first).min(arrival);
        *last = (*last).max(arrival);
    }

    fn result(&self) -> Option<Bitrate> {
        let ((first_sent, last_sent), (first_arrival, last_arrival)) = (self.sent?, self.arrived?);
        let (least_packets, least_bytes) =
            (self.cluster.min_packets as f64, self.cluster.min_bytes as f64);
        if (self.received as f64) < least_packets * MIN_RECEIVED
            || (self.received_bytes as f64) < least_bytes * MIN_RECEIVED
        {
            return None;
        }
        let sending = last_sent.saturating_duration_since(first_sent);
        let arriving = last_arrival.saturating_sub(first_arrival);
        if sending.is_zero() || arriving.is_zero() || sending.max(arriving) > MAX_INTERVAL {
            return None;
        }
        let rate = |without: usize, time: Duration| {
            let bits = self.received_bytes.saturating_sub(without) as f64 * 8.0;
            Bitrate::from_f64_bps(bits / time.as_secs_f64())
        };
        let sent = rate(self.last_sent_size, sending);
        let received = rate(self.first_arrived_size, arriving);
        if received > sent * TOO_FAST {
            return None;
        }
        let slower = sent.min(received);
        Some(if received < sent * SATURATED { received * SATURATED_SHARE } else { slower })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends a cluster of 1200-byte packets; the path stretches its spacing by `stretch`.
    fn play(
        prober: &mut Prober,
        cluster: ProbeCluster,
        now: Instant,
        stretch: f64,
    ) -> Option<Bitrate> {
        let gap = Duration::from_secs_f64(1200.0 * 8.0 / cluster.rate.as_f64_bps());
        let count = cluster.min_packets.max(cluster.min_bytes.div_ceil(1200)) + 1;
        (0..count as u32).find_map(|i| {
            let at = now + gap * i;
            let packet = SentPacket { seq: u64::from(i), size: 1200, probe: Some(cluster.id), at };
            prober.on_sent(cluster.id, 1200);
            prober.on_arrival(cluster.id, &packet, (gap * i).mul_f64(stretch), false, at + 50 * MS)
        })
    }

    #[test]
    fn without_a_goal_nothing_is_sent() {
        assert_eq!(
            Prober::new().poll(Bitrate::mbps(1), false, Duration::ZERO, None, Instant::now()),
            None
        );
    }

    #[test]
    fn steps_go_on_while_they_succeed_and_stop_at_the_goal() {
        let (mut prober, now) = (Prober::new(), Instant::now());
        prober.set_goal(Some(Bitrate::mbps(4)));
        let mut estimate = Bitrate::mbps(1);
        let mut steps = 0;
        while let Some(cluster) = prober.poll(estimate, false, Duration::ZERO, None, now) {
            estimate = play(&mut prober, cluster, now, 1.0).unwrap();
            steps += 1;
            assert!(steps < 5);
        }
        assert!(estimate > Bitrate::mbps(4), "{estimate}");
    }

    #[test]
    fn a_full_path_gives_its_rate() {
        let (mut prober, now) = (Prober::new(), Instant::now());
        prober.set_goal(Some(Bitrate::mbps(3)));
        let cluster = prober.poll(Bitrate::mbps(1), false, Duration::ZERO, None, now).unwrap();
        let rate = play(&mut prober, cluster, now, 2.0).unwrap();
        let expected = cluster.rate.as_f64_bps() / 2.0 * SATURATED_SHARE;
        assert!((rate.as_f64_bps() / expected - 1.0).abs() < 0.05, "{rate}");
    }

    #[test]
    fn failures_make_the_pauses_longer_within_bounds() {
        let (mut prober, mut now) = (Prober::new(), Instant::now());
        prober.set_goal(Some(Bitrate::mbps(3)));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            while prober.poll(Bitrate::mbps(1), false, Duration::ZERO, None, now).is_none() {
                now += 100 * MS;
            }
            let asked = now;
            now += RESULT_WAIT + 100 * MS;
            assert!(prober.poll(Bitrate::mbps(1), false, Duration::ZERO, None, now).is_none());
            pauses.push(prober.poll_timeout().unwrap() - asked);
        }
        assert!(pauses.is_sorted());
        assert!(*pauses.last().unwrap() <= PAUSE.1 + RESULT_WAIT + 200 * MS);
    }

    #[test]
    fn no_probe_follows_an_overuse_at_once() {
        let (mut prober, now) = (Prober::new(), Instant::now());
        prober.set_goal(Some(Bitrate::mbps(3)));
        assert_eq!(
            prober.poll(Bitrate::mbps(1), false, Duration::ZERO, Some(now), now + 100 * MS),
            None
        );
        assert!(
            prober
                .poll(Bitrate::mbps(1), false, Duration::ZERO, Some(now), now + 2000 * MS)
                .is_some()
        );
    }

    #[test]
    fn where_times_scatter_a_cluster_outlasts_that() {
        let poll = |scatter| {
            let mut prober = Prober::new();
            prober.set_goal(Some(Bitrate::mbps(2)));
            let now = Instant::now();
            let cluster = prober.poll(Bitrate::mbps(1), false, scatter, None, now).unwrap();
            let fills = (0..2000).find(|ms| !prober.is_filling(now + MS * *ms)).unwrap();
            (cluster.rate * Duration::from_secs(1), cluster.min_bytes as u64 * 1000, fills)
        };
        let (second, bytes, fills) = poll(Duration::ZERO);
        assert_eq!((bytes / second.as_bytes(), fills), (20, 400));
        let (second, bytes, fills) = poll(50 * MS);
        assert_eq!((bytes / second.as_bytes(), fills), (150, 660));
        let (second, bytes, fills) = poll(500 * MS);
        assert_eq!((bytes / second.as_bytes(), fills), (200, 760));
    }
}
