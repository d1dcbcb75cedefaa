//! The estimate of one transport: puts the parts together.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::bwe::aimd::Aimd;
use crate::bwe::fates::Fates;
use crate::bwe::groups::Groups;
use crate::bwe::history::{History, Outcome};
use crate::bwe::loss::LossBased;
use crate::bwe::probe::{ProbeCluster, ProbeId, Prober};
use crate::bwe::surge::Surge;
use crate::bwe::throughput::Throughput;
use crate::bwe::train::Train;
use crate::bwe::trendline::{Trendline, Usage};
use crate::units::{Bitrate, DataSize};

/// Round trip assumed before one is measured.
const DEFAULT_RTT: Duration = Duration::from_millis(200);
/// Without feedback for this long the filters start anew.
const FEEDBACK_TIMEOUT: Duration = Duration::from_secs(2);
/// Sending less than this share of the estimate teaches nothing about more (ALR).
const LIMITED: f64 = 0.85;
/// A REMB older than this no longer caps.
const REMB_LIFE: Duration = Duration::from_secs(10);
/// When nothing at all arrived of what was sent over this long, the path was gone. A queue that
/// overflows lets some of it pass.
const OUTAGE: Duration = Duration::from_millis(400);
/// Receivers report in such steps at least (libwebrtc sends feedback every 50 to 250 ms).
const USUAL_SILENCE: Duration = Duration::from_millis(100);
/// The least round trip is looked for over one to two of these.
const BASE_WINDOW: Duration = Duration::from_secs(5);
/// A queue gets shorter at this pace at least, as time passes, while nothing but sound comes to it.
pub(crate) const EMPTIES: f64 = 0.75;
/// A queue that loses most of what comes to it is full if what passes it waits so long.
const FULL: Duration = Duration::from_millis(80);
/// What arrives while a queue drains is what the path takes, but no more than this over the estimate,
/// which was taken below what arrived.
const DRAIN: f64 = 1.3;
/// Entries of one feedback message that are sorted by arrival; a message has at most so many.
const MAX_BATCH: usize = 2048;

/// Bounds of the estimate.
#[derive(Clone, Copy, Debug)]
pub struct BweConfig {
    /// Where it begins.
    pub start: Bitrate,
    /// Never below: one voice must fit.
    pub min: Bitrate,
    /// Never above.
    pub max: Bitrate,
}

impl Default for BweConfig {
    fn default() -> Self {
        Self { start: Bitrate::kbps(800), min: Bitrate::kbps(30), max: Bitrate::mbps(50) }
    }
}

/// What the estimate is made of, for people who ask why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// By delay.
    pub delay_based: Bitrate,
    /// By loss; `None`: it does not limit.
    pub loss_based: Option<Bitrate>,
    /// By the receiver's own word (REMB).
    pub remote: Option<Bitrate>,
    /// What the peer acknowledged over the last three quarters of a second.
    pub acknowledged: Option<Bitrate>,
    /// Share of bytes lost lately.
    pub loss: f64,
    /// Smallest recent round trip.
    pub rtt: Option<Duration>,
}

/// Send-side bandwidth estimation for one transport.
#[derive(Debug)]
pub struct SendSide {
    config: BweConfig,
    history: History,
    fates: Fates,
    groups: Groups,
    trendline: Trendline,
    surge: Surge,
    train: Train,
    /// What a frame showed that the path takes now, much less than was thought.
    cut: Option<Bitrate>,
    throughput: Throughput,
    aimd: Aimd,
    loss: LossBased,
    prober: Prober,
    remote: Option<(Bitrate, Instant)>,
    rtt: Option<Duration>,
    base: Base,
    /// How long what arrived had waited while the path's queue lost most of what came to it.
    depth: Option<Duration>,
    last_feedback: Option<Instant>,
    /// Delay, loss or the peer's word has limited it.
    proven: bool,
    /// Set from outside.
    limit: Option<Bitrate>,
    batch: Vec<Outcome>,
}

impl SendSide {
    /// Begins at `config.start`.
    #[must_use]
    pub fn new(config: BweConfig) -> Self {
        Self {
            config,
            history: History::new(),
            fates: Fates::default(),
            groups: Groups::default(),
            trendline: Trendline::new(),
            surge: Surge::default(),
            train: Train::default(),
            cut: None,
            throughput: Throughput::default(),
            aimd: Aimd::new(config.start),
            loss: LossBased::new(),
            prober: Prober::new(),
            remote: None,
            rtt: None,
            base: Base::default(),
            depth: None,
            last_feedback: None,
            proven: false,
            limit: None,
            batch: Vec::new(),
        }
    }

    /// How much may be sent now, audio and retransmissions included.
    #[must_use]
    pub fn estimate(&self) -> Bitrate {
        let path = self.path();
        self.limit.map_or(path, |limit| path.min(limit).max(self.config.min))
    }

    /// What the path takes, whatever may be sent.
    fn path(&self) -> Bitrate {
        let mut estimate = self.aimd.estimate();
        if let Some(limit) = self.loss.limit() {
            estimate = estimate.min(limit);
        }
        if let Some((cap, _)) = self.remote {
            estimate = estimate.min(cap);
        }
        estimate.clamp(self.config.min, self.config.max.max(self.config.min))
    }

    /// What the estimate is made of.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts {
            delay_based: self.aimd.estimate(),
            loss_based: self.loss.limit(),
            remote: self.remote.map(|(cap, _)| cap),
            acknowledged: self.throughput.rate(),
            loss: self.loss.average_loss(),
            rtt: self.rtt,
        }
    }

    /// The path has shown a limit once, or one was set: before that, the estimate is a guess.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven || self.limit.is_some()
    }

    /// Caps the estimate, though not below `config.min`; `None` lifts that. What is known of the path
    /// stays.
    pub fn set_limit(&mut self, limit: Option<Bitrate>) {
        self.limit = limit;
    }

    /// What [`set_limit`](Self::set_limit) said.
    #[must_use]
    pub fn limit(&self) -> Option<Bitrate> {
        self.limit
    }

    /// The queue on the path, ours and others': how much longer than the least round trip of the
    /// last seconds the last one was, or how long what the peer has not told of yet will take.
    #[must_use]
    pub fn path_queue(&self, now: Instant) -> Duration {
        let silence = self.last_feedback.map_or(Duration::ZERO, |at| now - at);
        let measured = self.base.excess().saturating_sub(silence);
        if !self.proven {
            return measured;
        }
        let on_the_way = DataSize::of(self.history.in_flight()) / self.path();
        measured.max(on_the_way.saturating_sub(silence + self.base.least() + USUAL_SILENCE))
    }

    /// While nothing but sound is sent, since `silent`: how long the path still takes for what was
    /// sent before. Zero: what is sent now finds its queue empty.
    #[must_use]
    pub fn path_drain(&self, silent: Instant, now: Instant) -> Duration {
        let since_told = self.last_feedback.map_or(Duration::ZERO, |at| now - at);
        let least = self.path();
        let rate = self.throughput.recent_rate().unwrap_or(least);
        let rate = rate.clamp(least, least * DRAIN);
        let left = DataSize::of(self.history.in_flight()) / rate;
        let left = left.saturating_sub(since_told + self.base.least());
        // Of what it lost nothing is left.
        let overflown =
            self.depth.map(|depth| depth.saturating_sub((now - silent).mul_f64(EMPTIES)));
        overflown.map_or(left, |most| left.min(most))
    }

    /// A queue on the path, so that the estimate fell, was seen last then.
    #[must_use]
    pub fn last_fall(&self) -> Option<Instant> {
        self.aimd.last_decrease()
    }

    /// What the next better allocation needs in all; probing goes there and no further.
    pub fn set_goal(&mut self, goal: Option<Bitrate>) {
        let most = self.limit.unwrap_or(Bitrate::MAX).min(self.config.max);
        // A path that takes what may be sent has nothing more to show.
        let open = goal.filter(|_| self.limit.is_none_or(|limit| self.path() < limit));
        self.prober.set_goal(open.map(|goal| goal.min(most)));
    }

    /// A packet with transport-wide sequence number `seq` leaves; `size` counts IP and UDP.
    pub fn on_packet_sent(&mut self, seq: u16, size: usize, probe: Option<ProbeId>, now: Instant) {
        self.history.sent(seq, size, probe, now);
        if let Some(id) = probe {
            self.prober.on_sent(id, size);
        }
    }

    /// Which of `count` numbers from `base` on are worth telling to [`Self::on_feedback`], as distances
    /// from `base`.
    #[must_use]
    pub fn remembered(&self, base: u16, count: u16) -> Range<u16> {
        self.history.remembered(base, count)
    }

    /// One feedback message: for each number it covers, when it arrived on the peer's clock (any
    /// fixed origin), or `None` for not received.
    pub fn on_feedback(
        &mut self,
        packets: impl IntoIterator<Item = (u16, Option<Duration>)>,
        now: Instant,
    ) {
        if self.last_feedback.replace(now).is_some_and(|last| now - last > FEEDBACK_TIMEOUT) {
            self.groups = Groups::default();
            self.trendline = Trendline::new();
            self.surge = Surge::default();
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        batch.extend(
            packets
                .into_iter()
                .take(MAX_BATCH)
                .filter_map(|(seq, arrival)| self.history.resolve(seq, arrival)),
        );
        self.measure_rtt(&batch, now);
        let outage = outages(&batch);
        for (outcome, outage) in batch.iter().zip(outage) {
            if outage || is_of_lost_probe(outcome, &batch) {
                continue;
            }
            if !outcome.was_lost {
                self.fates.add(outcome, now);
            } else if !self.fates.recover(outcome.sent.seq) {
                self.loss.recover(outcome.sent.size);
            }
        }
        while let Some(fate) = self.fates.settle(self.surge.scatter(), now) {
            self.loss.add(fate.sent, fate.size, fate.lost);
        }
        self.follow_depth(&batch);
        batch.retain(|outcome| outcome.arrival.is_some());
        batch.sort_by_key(|outcome| (outcome.arrival, outcome.sent.seq));
        let probed = self.take_arrivals(&batch, now);
        self.batch = batch;
        self.conclude(probed, now);
    }

    /// The receiver's own estimate (REMB) caps ours for a while.
    pub fn on_remb(&mut self, cap: Bitrate, now: Instant) {
        self.remote = Some((cap, now));
        self.proven = true;
        if self.last_feedback.is_none() {
            // A receiver without transport-wide feedback: its word is all there is.
            self.aimd.on_probe(cap, now);
        }
    }

    /// The next probe cluster, if one is due.
    pub fn poll_probe(&mut self, now: Instant) -> Option<ProbeCluster> {
        // The first probe also finds out whether the peer reports at all.
        if self.last_feedback.is_none() && !self.prober.is_fresh() {
            return None;
        }
        let limited = self.loss.limit().is_some();
        let scatter = self.surge.scatter();
        self.prober.poll(self.estimate(), limited, scatter, self.aimd.last_decrease(), now)
    }

    /// When to call `handle_timeout` or `poll_probe` at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let remote = self.remote.map(|(_, at)| at + REMB_LIFE);
        [self.prober.poll_timeout(), remote].into_iter().flatten().min()
    }

    /// Forgets what is too old; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.remote.is_some_and(|(_, at)| now - at >= REMB_LIFE) && self.last_feedback.is_some()
        {
            self.remote = None;
        }
    }

    fn usage(&self) -> Usage {
        match self.trendline.usage() {
            _ if self.surge.is_on() || self.cut.is_some() => Usage::Over,
            usage => usage,
        }
    }

    fn measure_rtt(&mut self, batch: &[Outcome], now: Instant) {
        let newest = batch.iter().filter(|o| o.arrival.is_some()).map(|o| o.sent.at).max();
        if let Some(sample) = newest.map(|at| now.saturating_duration_since(at)) {
            self.base.add(sample, now);
            // Falls at once, rises slowly: queues pass, paths stay.
            self.rtt = Some(self.rtt.map_or(sample, |rtt| {
                if sample < rtt { sample } else { rtt.mul_f64(0.95) + sample.mul_f64(0.05) }
            }));
        }
    }

    fn follow_depth(&mut self, batch: &[Outcome]) {
        let waited = self.base.excess();
        let lost = batch.iter().filter(|outcome| outcome.arrival.is_none()).count();
        if waited < FULL {
            self.depth = None;
        } else if lost * 2 > batch.len() {
            self.depth = self.depth.max(Some(waited));
        }
    }

    fn take_arrivals(&mut self, batch: &[Outcome], now: Instant) -> Option<Bitrate> {
        let mut probed = None;
        for outcome in batch {
            let Some(arrival) = outcome.arrival else { continue };
            self.throughput.add(&outcome.sent, arrival);
            self.surge.add(outcome.sent.at, arrival);
            self.train.add(outcome.sent.at, arrival, outcome.sent.size);
            let limit = self.train.limit(self.aimd.estimate(), self.surge.is_late());
            self.cut = limit.or(self.cut);
            if let Some(delta) = self.groups.add(outcome.sent.at, arrival) {
                self.trendline.update(delta);
            }
            if let Some(id) = outcome.sent.probe {
                let congested = self.usage() == Usage::Over;
                let rate = self.prober.on_arrival(id, &outcome.sent, arrival, congested, now);
                probed = rate.or(probed);
            }
        }
        probed
    }

    fn conclude(&mut self, probed: Option<Bitrate>, now: Instant) {
        let usage = self.usage();
        let cut = self.cut.is_some();
        if let Some(rate) = probed.filter(|_| usage != Usage::Over) {
            self.loss.on_probe(rate);
        }
        let acked = match usage {
            Usage::Over if cut => self.cut.take(),
            Usage::Over => self.throughput.recent_rate(),
            _ => self.throughput.rate(),
        };
        match probed {
            // A probe may raise the estimate; whether it may lower it is for the delay to say.
            Some(rate) if usage != Usage::Over && rate > self.aimd.estimate() => {
                self.aimd.on_probe(rate, now);
            }
            // The queue is the probe's own, and passes.
            _ if usage == Usage::Over && !cut && self.prober.is_filling(now) => {}
            _ => {
                let limited = acked.is_some_and(|acked| acked < self.aimd.estimate() * LIMITED);
                let rtt = self.rtt.unwrap_or(DEFAULT_RTT);
                self.aimd.update(usage, acked, rtt, limited, now);
                if let Some(acked) = acked.filter(|_| !self.proven && usage == Usage::Normal) {
                    // More was sent than guessed, and the path took it.
                    self.aimd.raise(acked, now);
                }
            }
        }
        self.loss.update(acked, self.aimd.estimate(), now);
        let lossy = self.loss.limit().zip(acked).is_some_and(|(limit, acked)| limit < acked);
        self.proven |= self.aimd.last_decrease().is_some() || lossy;
    }
}

/// Which outcomes, in order of sending, are losses that say nothing about the rate.
fn outages(batch: &[Outcome]) -> impl Iterator<Item = bool> {
    let runs = batch.chunk_by(|one, two| one.arrival.is_none() == two.arrival.is_none());
    runs.flat_map(|run| {
        let span = run[run.len() - 1].sent.at.saturating_duration_since(run[0].sent.at);
        let outage = run[0].arrival.is_none() && span >= OUTAGE;
        std::iter::repeat_n(outage, run.len())
    })
}

/// A probe of which nothing came says that so much does not pass, or that the peer does not count
/// what it throws away; either way nothing about what media may send. A queue that overflows lets
/// some of it pass.
fn is_of_lost_probe(outcome: &Outcome, batch: &[Outcome]) -> bool {
    let probe = outcome.sent.probe;
    let came = |other: &Outcome| other.sent.probe == probe && other.arrival.is_some();
    probe.is_some() && outcome.arrival.is_none() && !batch.iter().any(came)
}

/// The least round trip lately, and the last one.
#[derive(Debug, Default)]
struct Base {
    last: Duration,
    least: Option<Duration>,
    previous: Option<Duration>,
    began: Option<Instant>,
}

impl Base {
    fn add(&mut self, sample: Duration, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= BASE_WINDOW {
            self.previous = self.least.take();
            self.began = Some(now);
        }
        self.last = sample;
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
    }

    fn least(&self) -> Duration {
        [self.least, self.previous].into_iter().flatten().min().unwrap_or_default()
    }

    fn excess(&self) -> Duration {
        self.last.saturating_sub(self.least())
    }
}
