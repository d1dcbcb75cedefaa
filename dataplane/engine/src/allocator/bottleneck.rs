//! Estimator, allocator and pacer coupled through a simulated bottleneck, on a virtual clock.

mod publisher;
mod receiver;
mod scenarios;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use airside_emulator::Link;

use super::{Allocator, Class, LinkState, MeanRate, PeakRate, TrackInput};
use crate::bwe::{BweConfig, SendSide};
use crate::command::Wish;
use crate::ids::{SlotId, TrackId};
use crate::layer::Layer;
use crate::pacer::{Header, Pacer, PacketClass, Verdict};
use crate::units::Bitrate;
use publisher::{Frame, Publisher};
use receiver::{Part, Payload, Receiver, Sent};

const MS: Duration = Duration::from_millis(1);
const SLOT: SlotId = SlotId(1);
const VOICE_SLOT: SlotId = SlotId(0);
const AUDIO_BYTES: usize = 148;
const PACKET_BYTES: usize = 1200;
/// How often the receiver reports, and how long a report travels.
const FEEDBACK: Duration = Duration::from_millis(50);
const RETURN: Duration = Duration::from_millis(25);
/// Keyframe requests of one layer keep this distance.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// A switch down that waits longer than this for its keyframe sends nothing meanwhile.
const DOWN_PATIENCE: Duration = Duration::from_millis(300);

/// What one report says: number and arrival.
type Report = Vec<(u16, Option<Duration>)>;

/// A camera and a voice on their way to one receiver.
struct Sim {
    start: Instant,
    now: Instant,
    publisher: Publisher,
    bwe: SendSide,
    pacer: Pacer<Payload>,
    allocator: Allocator,
    audio_rate: PeakRate,
    rtx_rate: MeanRate,
    path: Link<Sent>,
    receiver: Receiver,
    seq: u64,
    reported: u64,
    /// What was sent under each number, to send it again.
    history: VecDeque<(u64, Payload)>,
    reports: VecDeque<(Instant, Report)>,
    next_report: Instant,
    next_audio: Instant,
    audio_sent: u64,
    audio_dropped: usize,
    forwarded: u64,
    newest_keyframe: u64,
    current: Option<u8>,
    target: Option<Layer>,
    /// The target has another picture since then.
    switching: Option<Instant>,
    meanwhile: Option<u8>,
    asked: Option<Instant>,
    rtx_budget: f64,
    wanted: Bitrate,
    switches: Vec<(Duration, Option<Layer>)>,
    /// Every 100 ms: time, estimate, queue of the path.
    trace: Vec<(Duration, Bitrate, Duration)>,
}

impl Sim {
    fn new(path: &str, seed: u32) -> Self {
        let start = Instant::now();
        let bwe = SendSide::new(BweConfig::default());
        Self {
            start,
            now: start,
            publisher: Publisher::new(seed, start),
            pacer: Pacer::new(bwe.estimate()),
            bwe,
            allocator: Allocator::new(),
            audio_rate: PeakRate::default(),
            rtx_rate: MeanRate::default(),
            path: Link::new(format!("delay_ms=25 {path}").parse().unwrap(), u64::from(seed)),
            receiver: Receiver::default(),
            seq: 0,
            reported: 0,
            history: VecDeque::new(),
            reports: VecDeque::new(),
            next_report: start + FEEDBACK,
            next_audio: start,
            audio_sent: 0,
            audio_dropped: 0,
            forwarded: 0,
            newest_keyframe: 0,
            current: None,
            target: None,
            switching: None,
            meanwhile: None,
            asked: None,
            rtx_budget: 0.0,
            wanted: Bitrate::ZERO,
            switches: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn change_path(&mut self, text: &str) {
        let mut config = *self.path.config();
        config.update(text).unwrap();
        self.path.configure(config);
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now += MS;
            for frame in self.publisher.poll(self.now) {
                self.forward(frame);
            }
            self.speak();
            self.pace();
            self.receive();
            self.allocate();
            if self.elapsed().as_millis().is_multiple_of(100) {
                let queue = self.path.queue_delay(self.now);
                self.trace.push((self.elapsed(), self.bwe.estimate(), queue));
            }
        }
    }

    /// The rules of a simulcast selector (forwarding section 3.1).
    fn forward(&mut self, frame: Frame) {
        let Some(target) = self.target else { return };
        if self.current != Some(target.spatial) {
            if frame.keyframe && frame.spatial == target.spatial {
                self.current = Some(target.spatial);
                self.switching = None;
            } else if self.asked.is_none_or(|at| self.now >= at + ASK_INTERVAL) {
                self.publisher.ask_keyframe(target.spatial, self.now);
                self.asked = Some(self.now);
            }
        }
        if self.current != Some(frame.spatial) {
            return;
        }
        let down = frame.spatial > target.spatial;
        let late = self.switching.is_some_and(|at| self.now >= at + DOWN_PATIENCE);
        let most = match (down, late) {
            (true, true) => return,
            (true, false) => match self.meanwhile {
                Some(temporal) => temporal,
                None => return,
            },
            (false, _) if frame.spatial == target.spatial => target.temporal,
            (false, _) => 2,
        };
        if frame.temporal > most {
            return;
        }
        if frame.keyframe {
            self.newest_keyframe = self.forwarded;
        }
        let count = frame.bytes.div_ceil(PACKET_BYTES);
        for index in 0..count {
            let size = frame.bytes / count;
            let part = Part {
                frame: self.forwarded,
                temporal: frame.temporal,
                keyframe: frame.keyframe,
                index,
                count,
                size,
            };
            self.push(PacketClass::Video, part);
        }
        self.forwarded += 1;
    }

    fn push(&mut self, class: PacketClass, part: Part) {
        let header = Header {
            class,
            slot: SLOT,
            importance: 1,
            size: part.size,
            keyframe: part.keyframe && part.index == 0,
            start: part.index == 0,
            end: part.index + 1 == part.count,
        };
        let payload = Payload::Video(part);
        match self.pacer.admit(&header, self.now) {
            Verdict::Now(probe) => self.transmit(part.size, payload, probe),
            Verdict::Wait(place) => {
                self.pacer.queue(header, place, payload, self.now);
            }
            Verdict::Drop => {}
        }
        while self.pacer.poll_cut().is_some() {
            if let Some(current) = self.current {
                self.publisher.ask_keyframe(current, self.now);
            }
        }
    }

    fn speak(&mut self) {
        if self.now < self.next_audio {
            return;
        }
        self.next_audio += 20 * MS;
        let header = Header {
            class: PacketClass::Audio,
            slot: VOICE_SLOT,
            importance: 0,
            size: AUDIO_BYTES,
            keyframe: false,
            start: true,
            end: true,
        };
        self.audio_rate.add(AUDIO_BYTES, self.now);
        let payload = Payload::Audio { number: self.audio_sent };
        self.audio_sent += 1;
        match self.pacer.admit(&header, self.now) {
            Verdict::Now(probe) => {
                self.transmit(AUDIO_BYTES, payload, probe);
            }
            _ => self.audio_dropped += 1,
        }
    }

    fn pace(&mut self) {
        if let Some(cluster) = self.bwe.poll_probe(self.now) {
            self.pacer.start_probe(cluster, self.now);
        }
        while let Some(release) = self.pacer.poll(self.now) {
            let header = release.header;
            self.transmit(header.size, release.item, release.probe);
        }
        while let Some(id) = self.pacer.poll_padding(self.now) {
            self.pacer.sent_padding(Some(PACKET_BYTES));
            self.transmit(PACKET_BYTES, Payload::Padding, Some(id));
        }
    }

    fn transmit(&mut self, size: usize, payload: Payload, probe: Option<crate::bwe::ProbeId>) {
        self.bwe.on_packet_sent(self.seq as u16, size, probe, self.now);
        self.history.push_back((self.seq, payload));
        // What the link drops shows in the reports.
        let _ = self.path.send(Sent { seq: self.seq, payload }, size, self.now);
        self.seq += 1;
    }

    fn receive(&mut self) {
        while let Some(packet) = self.path.poll(self.now) {
            self.receiver.take(packet, self.now);
        }
        let wants_keyframe = std::mem::take(&mut self.receiver.wants_keyframe);
        let rested = self.asked.is_none_or(|at| self.now >= at + ASK_INTERVAL);
        if let Some(current) = self.current.filter(|_| wants_keyframe && rested) {
            self.publisher.ask_keyframe(current, self.now);
            self.asked = Some(self.now);
        }
        if self.now >= self.next_report {
            self.next_report += FEEDBACK;
            self.receiver.show(self.now);
            let arrived = std::mem::take(&mut self.receiver.arrived);
            if let Some(newest) = arrived.iter().map(|(seq, _)| *seq).max() {
                let at = |seq| arrived.iter().find(|(s, _)| *s == seq).map(|(_, at)| *at);
                let report = (self.reported..=newest)
                    .map(|seq| (seq as u16, at(seq).map(|at| at - self.start)))
                    .collect();
                self.resend(newest, &arrived);
                self.reported = newest + 1;
                self.reports.push_back((self.now + RETURN, report));
            }
        }
        while self.reports.front().is_some_and(|(at, _)| *at <= self.now) {
            if let Some((_, report)) = self.reports.pop_front() {
                self.bwe.on_feedback(report, self.now);
                self.pacer.set_estimate(self.bwe.estimate(), self.wanted);
                let queue = match self.pacer.silent_since() {
                    Some(since) => self.bwe.path_drain(since, self.now),
                    None => self.bwe.path_queue(self.now),
                };
                self.pacer.set_path_queue(queue, self.now);
            }
        }
        self.bwe.handle_timeout(self.now);
    }

    /// Answers what the receiver misses, within 15 % of the estimate.
    fn resend(&mut self, newest: u64, arrived: &[(u64, Instant)]) {
        let budget = self.bwe.estimate() * 0.15;
        self.rtx_budget += (budget * FEEDBACK).as_bytes() as f64;
        self.rtx_budget = self.rtx_budget.min((budget * Duration::from_secs(1)).as_bytes() as f64);
        while self.history.front().is_some_and(|(seq, _)| *seq <= newest) {
            let Some((seq, payload)) = self.history.pop_front() else { return };
            let lost = !arrived.iter().any(|(number, _)| *number == seq);
            let Payload::Video(part) = payload else { continue };
            let leaving = self.target.map(|target| target.spatial) < self.current;
            let stale = leaving || part.frame < self.newest_keyframe;
            if !lost || stale || self.rtx_budget < part.size as f64 {
                continue;
            }
            self.rtx_budget -= part.size as f64;
            self.rtx_rate.add(part.size, self.now);
            self.push(PacketClass::Retransmission, part);
        }
    }

    fn allocate(&mut self) {
        let link = LinkState {
            estimate: self.bwe.estimate(),
            audio: self.audio_rate.get(self.now),
            retransmissions: self.rtx_rate.get(self.now),
            queue_delay: self.pacer.queue_delay(self.now),
        };
        if !self.allocator.observe(&link, self.now) {
            return;
        }
        let track = TrackInput {
            slot: SLOT,
            track: TrackId(1),
            class: Class::Large,
            wish: Wish {
                max_height_px: 720,
                max_temporal: 2,
                priority: 100,
                may_pause: true,
                paused: false,
                keyframe_interval_ms: 0,
            },
            rates: self.publisher.rates(),
            heights_px: [180, 360, 720],
            alive_since: [Some(self.start); 3],
            current: self.current.map(|spatial| Layer::new(spatial, 2)),
        };
        let summary = self.allocator.run(&link, &[track], self.now);
        self.bwe.set_goal(summary.goal);
        self.wanted = summary.wanted;
        let target = self.allocator.decisions()[0].target;
        self.meanwhile = self.allocator.decisions()[0].meanwhile;
        if target != self.target {
            self.switches.push((self.elapsed(), target));
            let spatial = |layer: Option<Layer>| layer.map(|layer| layer.spatial);
            if spatial(target) != spatial(self.target) {
                self.switching = Some(self.now);
                if spatial(target) < self.current {
                    // What waits of the larger picture would only delay the smaller one.
                    self.pacer.forget_slot(SLOT);
                }
                self.asked = None;
            }
            if target.is_none() {
                self.current = None;
            }
            self.target = target;
        }
    }

    /// The longest time without a new picture in the given span.
    fn longest_freeze(&self, from: Duration, to: Duration) -> Duration {
        let (from, to) = (self.start + from, self.start + to);
        let shown = self.receiver.shown.iter().filter(|at| **at >= from && **at <= to);
        let mut times: Vec<Instant> = shown.copied().collect();
        times.push(to);
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(to - from)
    }

    /// When the path's queue was last longer than `limit` in the given span.
    fn last_queue_over(&self, limit: Duration, from: Duration, to: Duration) -> Option<Duration> {
        let span = self.trace.iter().filter(|(at, _, _)| *at >= from && *at <= to);
        span.filter(|(_, _, queue)| *queue > limit).map(|(at, _, _)| *at).next_back()
    }

    fn spatial(&self) -> Option<u8> {
        self.target.map(|layer| layer.spatial)
    }

    /// When in the given span the target first was this picture.
    fn first(&self, from: Duration, spatial: Option<u8>) -> Option<Duration> {
        let is_it = |layer: &Option<Layer>| layer.map(|layer| layer.spatial) == spatial;
        let later = self.switches.iter().filter(|(at, _)| *at >= from);
        later.filter(|(_, layer)| is_it(layer)).map(|(at, _)| *at).next()
    }

    fn switches_between(&self, from: Duration, to: Duration) -> usize {
        self.switches.iter().filter(|(at, _)| *at >= from && *at < to).count()
    }
}
