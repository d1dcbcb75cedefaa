//! What one subscriber's path can take, and how packets are spread over it: the estimate, the
//! pacer and the allocator of one transport, and what they tell each other.
//!
//! Only transports in server role have it, once their peer says how packets arrive (transport-wide
//! numbers, or REMB). All others send without limit. `pace.rs` sends, `allocate.rs` chooses layers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::allocator::{Allocator, LinkState, MeanRate, PeakRate, Summary};
use crate::bwe::{BweConfig, Parts, ProbeId, SendSide};
use crate::pacer::{Header, HoldStep, Pacer, PacketClass, Verdict};
use crate::packet::SourcePacket;
use crate::rtcp::{ArrivalClock, Twcc};
use crate::slot::{Resent, Rewritten};
use crate::timers::earliest;
use crate::units::Bitrate;

/// IPv4 and UDP headers, counted into everything that the path carries.
pub(crate) const IP_UDP_LEN: usize = 28;
/// What is added to a payload on the wire: IP, UDP and RTP headers, extensions, SRTP tag.
pub(crate) const PACKET_OVERHEAD: usize = IP_UDP_LEN + 12 + 20 + 16;
/// A peer that agreed to transport-wide feedback and sends none for so long will never do so: it is
/// served without an estimate.
const DEAF_AFTER: Duration = Duration::from_secs(3);
/// Pacing of a path of which nothing is known.
const UNLIMITED: Bitrate = Bitrate::mbps(1000);
/// Arrivals are told as microseconds that may lie a little below zero.
const ORIGIN_US: i64 = 1 << 40;

/// A packet that has its number and waits for its turn.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Key of its slot.
    pub(crate) slot: usize,
    pub(crate) packet: Arc<SourcePacket>,
    pub(crate) outgoing: Outgoing,
}

/// How it goes out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Media(Rewritten),
    Again(Resent),
}

/// After its estimate fell a path has no room for long.
const NARROWED: Duration = Duration::from_secs(3);

/// The sending side of one transport's congestion control.
#[derive(Debug)]
pub(crate) struct Sending {
    estimator: SendSide,
    arrivals: ArrivalClock,
    pub(crate) pacer: Pacer<Waiting>,
    pub(crate) allocator: Allocator,
    audio: PeakRate,
    retransmissions: MeanRate,
    pub(crate) summary: Option<Summary>,
    /// When pictures that are too large must have gone.
    leave_by: Option<Instant>,
    hold_step: Option<HoldStep>,
    /// Since when the peer could have told what arrived.
    expecting: Option<Instant>,
    /// The peer has told something.
    heard: bool,
    probes: u64,
    cut: u64,
}

/// Figures for people who ask why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendingFigures {
    pub(crate) estimate: Option<Bitrate>,
    pub(crate) parts: Parts,
    pub(crate) queued_bytes: usize,
    pub(crate) queue_delay: Duration,
    pub(crate) probes: u64,
    /// Packets dropped from the pacer's queue.
    pub(crate) cut: u64,
}

impl Sending {
    pub(crate) fn new() -> Self {
        let estimator = SendSide::new(BweConfig::default());
        Self {
            pacer: Pacer::new(estimator.estimate()),
            estimator,
            arrivals: ArrivalClock::default(),
            allocator: Allocator::new(),
            audio: PeakRate::default(),
            retransmissions: MeanRate::default(),
            summary: None,
            leave_by: None,
            hold_step: None,
            expecting: None,
            heard: false,
            probes: 0,
            cut: 0,
        }
    }

    /// Nothing is known of the path, and nothing will be.
    fn is_deaf(&self, now: Instant) -> bool {
        !self.heard
            && self.expecting.is_some_and(|at| now.saturating_duration_since(at) >= DEAF_AFTER)
    }

    /// Whether a packet may leave now.
    #[inline]
    pub(crate) fn admit(&mut self, header: &Header, now: Instant) -> Verdict {
        match header.class {
            PacketClass::Audio => self.audio.add(header.size, now),
            PacketClass::Retransmission => self.retransmissions.add(header.size, now),
            PacketClass::Video => {}
        }
        self.pacer.admit(header, now)
    }

    /// A packet with a transport-wide number has left; `len` without IP and UDP.
    #[inline]
    pub(crate) fn on_sent(
        &mut self,
        number: u16,
        len: usize,
        probe: Option<ProbeId>,
        now: Instant,
    ) {
        self.expecting.get_or_insert(now);
        self.estimator.on_packet_sent(number, len + IP_UDP_LEN, probe, now);
    }

    /// The peer tells what arrived.
    pub(crate) fn on_feedback(&mut self, feedback: &Twcc<'_>, now: Instant) {
        self.heard = true;
        let base = feedback.base_sequence;
        let known = self.estimator.remembered(base, feedback.status_count);
        let mut received = feedback.received().peekable();
        while received.next_if(|(number, _)| number.wrapping_sub(base) < known.start).is_some() {}
        let clock = &mut self.arrivals;
        let packets = known.map(|at| {
            let number = base.wrapping_add(at);
            let arrival = received.next_if(|(arrived, _)| *arrived == number);
            let at_us = arrival.map(|(_, at_us)| clock.unwrap(at_us));
            (number, at_us.map(|at_us| Duration::from_micros(from_origin(at_us))))
        });
        self.estimator.on_feedback(packets, now);
        self.follow_estimate();
        self.follow_path_queue(now);
    }

    fn follow_path_queue(&mut self, now: Instant) {
        let queue = match self.pacer.silent_since() {
            Some(since) => self.estimator.path_drain(since, now),
            None => self.estimator.path_queue(now),
        };
        self.hold_step = self.pacer.set_path_queue(queue, now).or(self.hold_step);
    }

    /// What has to be done because the path's queue is too long, or soon no longer.
    pub(crate) fn poll_hold(&mut self) -> Option<HoldStep> {
        self.hold_step.take()
    }

    /// The peer tells its own estimate.
    pub(crate) fn on_remb(&mut self, rate: Bitrate, now: Instant) {
        self.heard = true;
        self.estimator.on_remb(rate, now);
        self.follow_estimate();
    }

    fn follow_estimate(&mut self) {
        let (allocated, wanted) = self
            .summary
            .map_or((Bitrate::ZERO, Bitrate::MAX), |summary| (summary.allocated, summary.wanted));
        let estimate = self.estimator.estimate();
        if self.estimator.is_proven() {
            self.pacer.set_estimate(estimate, wanted);
        } else {
            // A guess must not delay what is sent whatever it says.
            self.pacer.set_estimate(estimate.max(allocated), Bitrate::ZERO);
        }
    }

    /// A limit is known: until then the estimate is a guess, for which nobody is paused.
    pub(crate) fn is_proven(&self) -> bool {
        self.estimator.is_proven()
    }

    /// The path has just become too narrow for what was sent: old packets are the last it needs.
    pub(crate) fn is_narrowed(&self, now: Instant) -> bool {
        let fell = self.estimator.last_fall();
        fell.is_some_and(|at| now.saturating_duration_since(at) < NARROWED)
    }

    /// What the path can take.
    pub(crate) fn estimate(&self) -> Bitrate {
        self.estimator.estimate()
    }

    /// Never more than this, whatever the path takes.
    pub(crate) fn set_limit(&mut self, limit: Option<Bitrate>) {
        self.estimator.set_limit(limit);
        self.follow_estimate();
    }

    /// What the allocator must know of the path.
    pub(crate) fn link(&mut self, now: Instant) -> LinkState {
        let estimate = if self.is_deaf(now) {
            self.estimator.limit().unwrap_or(Bitrate::MAX)
        } else {
            self.estimator.estimate()
        };
        LinkState {
            estimate,
            audio: self.audio.get(now),
            retransmissions: self.retransmissions.get(now),
            queue_delay: match self.pacer.shows_hold(now) {
                true => Duration::ZERO,
                false => self.pacer.queue_delay(now),
            },
        }
    }

    /// What the allocator said about the whole.
    pub(crate) fn set_summary(&mut self, summary: Summary) {
        self.estimator.set_goal(summary.goal);
        self.summary = Some(summary);
        self.follow_estimate();
    }

    /// Forgets what is too old, and starts a probe that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.estimator.handle_timeout(now);
        self.follow_path_queue(now);
        if self.is_deaf(now) {
            let estimate = self.estimator.limit().unwrap_or(UNLIMITED);
            self.pacer.set_estimate(estimate, Bitrate::ZERO);
            return;
        }
        if let Some(cluster) = self.estimator.poll_probe(now) {
            self.expecting.get_or_insert(now);
            self.probes += 1;
            self.pacer.start_probe(cluster, now);
        }
    }

    /// Some picture is too large; it is to be gone by then.
    pub(crate) fn leave_by(&mut self, at: Instant) {
        self.leave_by = earliest(self.leave_by, Some(at));
    }

    pub(crate) fn take_leave_due(&mut self, now: Instant) -> bool {
        self.leave_by.take_if(|at| *at <= now).is_some()
    }

    pub(crate) fn count_cut(&mut self, packets: usize) {
        self.cut += packets as u64;
    }

    /// When to look again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deaf = self.expecting.filter(|_| !self.heard).map(|at| at + DEAF_AFTER);
        let allocation = earliest(earliest(self.allocator.poll_timeout(), self.leave_by), deaf);
        earliest(earliest(self.estimator.poll_timeout(), self.pacer.poll_timeout()), allocation)
    }

    pub(crate) fn figures(&self, now: Instant) -> SendingFigures {
        SendingFigures {
            estimate: (!self.is_deaf(now)).then(|| self.estimator.estimate()),
            parts: self.estimator.parts(),
            queued_bytes: self.pacer.queued_bytes(),
            queue_delay: self.pacer.queue_delay(now),
            probes: self.probes,
            cut: self.cut + self.pacer.superseded(),
        }
    }
}

fn from_origin(at_us: i64) -> u64 {
    u64::try_from(at_us.saturating_add(ORIGIN_US)).unwrap_or(0)
}
