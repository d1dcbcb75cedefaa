//! Whole estimators on a virtual clock, through simulated links (forwarding scenarios).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use airside_emulator::Link;

use super::{BweConfig, ProbeCluster, SendSide};
use crate::units::Bitrate;

const MS: Duration = Duration::from_millis(1);
const FEEDBACK: Duration = Duration::from_millis(100);
const RETURN: Duration = Duration::from_millis(25);
const SIZE: usize = 1200;

/// What one feedback message says: number and arrival.
type Report = Vec<(u16, Option<Duration>)>;

/// A sender that offers `min(estimate, wanted)` of media and plays probes.
struct Sim {
    start: Instant,
    now: Instant,
    bwe: SendSide,
    path: Link<u16>,
    wanted: Bitrate,
    seq: u16,
    media_credit: f64,
    probe: Option<(ProbeCluster, usize, f64)>,
    /// Sent and not yet reported, in order, with the time of arrival.
    pending: VecDeque<(u16, Option<Instant>)>,
    feedback: VecDeque<(Instant, Report)>,
    next_feedback: Instant,
    /// Nothing that is sent for a probe arrives.
    loses_probes: bool,
}

impl Sim {
    fn new(path: &str, wanted: Bitrate) -> Self {
        let start = Instant::now();
        let mut bwe = SendSide::new(BweConfig::default());
        bwe.set_goal(Some(wanted));
        Self {
            start,
            now: start,
            bwe,
            path: Link::new(format!("delay_ms=25 queue_ms=1000 {path}").parse().unwrap(), 5),
            wanted,
            seq: 65_000,
            media_credit: 0.0,
            probe: None,
            pending: VecDeque::new(),
            feedback: VecDeque::new(),
            next_feedback: start + FEEDBACK,
            loses_probes: false,
        }
    }

    fn change_path(&mut self, text: &str) {
        let mut config = *self.path.config();
        config.update(text).unwrap();
        self.path.configure(config);
    }

    fn transmit(&mut self, probe: Option<ProbeCluster>) {
        self.bwe.on_packet_sent(self.seq, SIZE, probe.map(|p| p.id), self.now);
        // What the link drops shows in the feedback.
        if probe.is_none() || !self.loses_probes {
            let _ = self.path.send(self.seq, SIZE, self.now);
        }
        self.pending.push_back((self.seq, None));
        self.seq = self.seq.wrapping_add(1);
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now += MS;
            let rate = self.bwe.estimate().min(self.wanted);
            self.media_credit += rate.as_f64_bps() / 8.0 / 1000.0;
            while self.media_credit >= SIZE as f64 {
                self.media_credit -= SIZE as f64;
                self.transmit(None);
            }
            self.play_probe();
            self.play_feedback();
            self.bwe.handle_timeout(self.now);
        }
    }

    fn play_probe(&mut self) {
        if self.probe.is_none() {
            self.probe = self.bwe.poll_probe(self.now).map(|cluster| (cluster, 0, 0.0));
        }
        let Some((cluster, mut sent, mut credit)) = self.probe.take() else { return };
        credit += cluster.rate.as_f64_bps() / 8.0 / 1000.0;
        while credit >= SIZE as f64 {
            credit -= SIZE as f64;
            sent += 1;
            self.transmit(Some(cluster));
        }
        if sent <= cluster.min_packets || sent * SIZE <= cluster.min_bytes {
            self.probe = Some((cluster, sent, credit));
        }
    }

    fn play_feedback(&mut self) {
        while let Some(seq) = self.path.poll(self.now) {
            if let Some(entry) = self.pending.iter_mut().find(|entry| entry.0 == seq) {
                entry.1 = Some(self.now);
            }
        }
        if self.now >= self.next_feedback {
            self.next_feedback += FEEDBACK;
            // Nothing overtakes here: all before the newest arrival are decided.
            if let Some(newest) = self.pending.iter().rposition(|(_, at)| at.is_some()) {
                let report = self
                    .pending
                    .drain(..=newest)
                    .map(|(seq, at)| (seq, at.map(|at| at - self.start)))
                    .collect();
                self.feedback.push_back((self.now + RETURN, report));
            }
        }
        while self.feedback.front().is_some_and(|(at, _)| *at <= self.now) {
            if let Some((_, report)) = self.feedback.pop_front() {
                self.bwe.on_feedback(report, self.now);
            }
        }
    }

    fn mbps(&self) -> f64 {
        self.bwe.estimate().as_f64_bps() / 1e6
    }
}

#[test]
fn a_free_path_is_found_within_two_seconds() {
    let mut sim = Sim::new("rate=100000000", Bitrate::mbps(3));
    sim.run(2.0);
    assert!(sim.mbps() >= 3.0, "{}", sim.mbps());
}

#[test]
fn a_bottleneck_is_used_and_its_queue_stays_short() {
    let mut sim = Sim::new("rate=2000000", Bitrate::mbps(5));
    sim.run(10.0);
    let (mut sum, mut longest) = (0.0, Duration::ZERO);
    for _ in 0..200 {
        sim.run(0.1);
        sum += sim.mbps();
        longest = longest.max(sim.path.queue_delay(sim.now));
    }
    let mean = sum / 200.0;
    assert!((1.4..=2.15).contains(&mean), "{mean}");
    assert!(longest < 350 * MS, "{longest:?}");
}

#[test]
fn a_deep_queue_is_noticed_before_the_first_loss() {
    let mut sim = Sim::new("rate=5000000", Bitrate::mbps(3));
    sim.run(10.0);
    assert!(sim.mbps() >= 3.0);
    sim.change_path("rate=1500000");
    let mut fell_at = None;
    for step in 0..40 {
        sim.run(0.05);
        if sim.mbps() < 2.5 {
            fell_at = Some(step);
            break;
        }
    }
    assert!(fell_at.is_some(), "{}", sim.mbps());
    assert_eq!(sim.path.totals().dropped_queue, 0, "the estimate fell before the queue was full");
}

#[test]
fn a_cut_to_a_seventh_is_followed_drained_and_comes_back() {
    let mut sim = Sim::new("rate=2000000", Bitrate::kbps(1700));
    sim.run(10.0);
    assert!(sim.mbps() >= 1.5, "{}", sim.mbps());
    sim.change_path("rate=300000");
    sim.run(4.0);
    assert!(sim.mbps() <= 0.4, "{}", sim.mbps());
    sim.run(6.0);
    // A sender that fills the path always keeps some queue; probes add to it now and then.
    let (mut sum, mut longest) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..60 {
        sim.run(0.1);
        sum += sim.path.queue_delay(sim.now);
        longest = longest.max(sim.path.queue_delay(sim.now));
    }
    assert!(sum / 60 < 150 * MS && longest < 350 * MS, "{:?} {longest:?}", sum / 60);
    sim.change_path("rate=2000000");
    sim.run(12.0);
    assert!(sim.mbps() >= 1.6, "{}", sim.mbps());
}

#[test]
fn five_percent_of_random_loss_leaves_most_of_the_path() {
    let mut sim = Sim::new("rate=5000000", Bitrate::mbps(3));
    sim.change_path("loss=0.05");
    sim.run(20.0);
    assert!(sim.mbps() >= 2.1, "{} {:?}", sim.mbps(), sim.bwe.parts());
}

#[test]
fn a_receiver_with_only_remb_is_followed() {
    let (mut bwe, now) = (SendSide::new(BweConfig::default()), Instant::now());
    bwe.on_remb(Bitrate::kbps(450), now);
    assert_eq!(bwe.estimate(), Bitrate::kbps(450));
    bwe.on_remb(Bitrate::mbps(2), now + MS);
    assert_eq!(bwe.estimate(), Bitrate::mbps(2));
}

#[test]
fn an_idle_sender_learns_nothing_and_keeps_its_estimate() {
    let mut sim = Sim::new("rate=10000000", Bitrate::kbps(50));
    let before = sim.mbps();
    sim.run(20.0);
    assert!((sim.mbps() - before).abs() < 0.1, "{}", sim.mbps());
}

#[test]
fn a_peer_that_counts_no_padding_keeps_what_media_has_shown() {
    let mut sim = Sim::new("rate=5000000", Bitrate::kbps(600));
    sim.loses_probes = true;
    sim.bwe.set_goal(Some(Bitrate::kbps(1500)));
    sim.run(20.0);
    assert!(sim.bwe.estimate() >= Bitrate::kbps(600), "{:?}", sim.bwe.parts());
    assert_eq!(sim.bwe.parts().loss_based, None);
}
