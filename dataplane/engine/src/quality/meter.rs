//! What is gathered about one published layer, one published track, and one slot.

use std::time::{Duration, Instant};

use super::{Fates, LayerDistance};
use super::{Figures, FreezeMeter, TrackKind, TrackScore, WINDOW, Window, concealed_share};
use crate::codec::{Codec, Keyframe};
use crate::command::MediaKind;
use crate::layer::Layer;
use crate::packet::SourcePacket;
use crate::rtcp::ReportBlock;
use crate::rtp::RtpView;
use crate::track::Placed;
use crate::units::DataSize;

/// A receiver that reports a larger step began to count anew, or counts its cycles otherwise. Five
/// seconds between reports are 8000 packets a second.
const MAX_REPORTED_STEP: u32 = 40_000;

/// Frames of one picture, as packets come by.
#[derive(Debug, Default)]
struct Picture {
    freeze: FreezeMeter,
    /// Timestamp of the newest keyframe.
    keyframe: Option<u32>,
}

impl Picture {
    #[inline]
    fn on_packet(
        &mut self,
        (timestamp, marker): (u32, bool),
        keyframe: Keyframe,
        rtt: Duration,
        now: Instant,
    ) {
        if keyframe == Keyframe::Yes {
            self.keyframe = Some(timestamp);
        }
        if marker {
            self.freeze.on_frame(self.keyframe == Some(timestamp), rtt, now);
        }
    }
}

/// Jitter at several moments of a window.
#[derive(Debug, Default)]
struct Samples {
    sum: Duration,
    max: Duration,
    count: u32,
}

impl Samples {
    fn add(&mut self, jitter: Duration) {
        self.sum += jitter;
        self.max = self.max.max(jitter);
        self.count += 1;
    }

    fn mean(&self) -> Duration {
        self.sum.checked_div(self.count).unwrap_or_default()
    }
}

/// One published layer, packet by packet.
#[derive(Debug, Default)]
pub(crate) struct LayerMeter {
    picture: Picture,
    voice: Fates,
}

impl LayerMeter {
    /// A packet took its place.
    #[inline]
    pub(crate) fn on_packet(
        &mut self,
        codec: Codec,
        placed: &Placed,
        view: &RtpView,
        keyframe: Keyframe,
        now: Instant,
    ) {
        if !codec.is_video() {
            let redundancy = u8::from(codec == Codec::Red);
            self.voice.on_packet(placed.ext_seq, placed.restart, redundancy);
        } else if !placed.late {
            self.picture.on_packet((view.timestamp, view.marker), keyframe, Duration::ZERO, now);
        }
    }

    /// A packet was given up.
    pub(crate) fn on_break(&mut self, now: Instant) {
        self.picture.freeze.on_break(now);
    }

    /// Nothing is expected for now.
    pub(crate) fn on_stop(&mut self, now: Instant) {
        self.picture.freeze.on_stop(now);
    }

    /// How long the picture stood still, and how often.
    pub(crate) fn freezes(&self) -> (Duration, u32) {
        (self.picture.freeze.total(), self.picture.freeze.count())
    }

    /// Packets of sound whose fate is known, and those made up.
    pub(crate) fn concealed(&self) -> (u64, u64) {
        (self.voice.sealed().packets(), self.voice.sealed().concealed())
    }
}

/// Counters of a track over all its layers, since the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrackTotals {
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) repaired: u64,
    pub(crate) bytes: u64,
    pub(crate) heard: u64,
    pub(crate) concealed: u64,
}

/// One published track, window by window.
#[derive(Debug)]
pub(crate) struct TrackMeter {
    score: TrackScore,
    before: TrackTotals,
    jitter: Samples,
    idle: Duration,
}

impl TrackMeter {
    pub(crate) fn new(kind: MediaKind) -> Self {
        Self {
            score: TrackScore::new(kind_of(kind, false)),
            before: TrackTotals::default(),
            jitter: Samples::default(),
            idle: Duration::ZERO,
        }
    }

    /// 0 to 100.
    pub(crate) fn score(&self) -> f64 {
        self.score.get()
    }

    /// A moment of the window; `idle` for the time since the last one: nothing was to come.
    pub(crate) fn sample(&mut self, jitter: Duration, idle: Duration) {
        self.jitter.add(jitter);
        self.idle += idle;
    }

    /// The window is over.
    pub(crate) fn close(
        &mut self,
        kind: TrackKind,
        now: TrackTotals,
        rtt: Option<Duration>,
        heard: bool,
    ) -> Figures {
        let before = std::mem::replace(&mut self.before, now);
        let jitter = std::mem::take(&mut self.jitter);
        let packets = now.packets - before.packets;
        let lost = now.lost.saturating_sub(before.lost).min(packets);
        let unrepaired = lost.saturating_sub(now.repaired - before.repaired);
        self.score.set_kind(kind);
        self.score.update(&Window {
            packets,
            lost: unrepaired,
            jitter: jitter.max,
            rtt,
            layer_distance: 0.0,
            idle: std::mem::take(&mut self.idle),
            paused: false,
            heard,
        });
        let voice = now.heard - before.heard;
        let concealed = now.concealed - before.concealed;
        Figures {
            packets,
            lost,
            unrepaired,
            jitter: if packets > 0 { jitter.mean() } else { Duration::ZERO },
            rate: DataSize::bytes(now.bytes - before.bytes).per(WINDOW),
            concealed: if voice > 0 { concealed as f64 / voice as f64 } else { 0.0 },
        }
    }
}

/// Counters of a slot since the beginning, and what it is about now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SlotSent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) resent: u64,
}

/// One slot, packet by packet, report by report, window by window.
#[derive(Debug)]
pub(crate) struct SlotMeter {
    kind: MediaKind,
    redundancy: u8,
    score: TrackScore,
    picture: Picture,
    distance: LayerDistance,
    /// Highest number and loss of the last report.
    reported: Option<(u32, i32)>,
    /// What reports said since the beginning: packets, and those lost.
    totals: (u64, u64),
    /// Of the sound among them, made up.
    concealed: f64,
    jitter: Samples,
    before: SlotSent,
    totals_before: (u64, u64),
    concealed_before: f64,
}

impl SlotMeter {
    pub(crate) fn new(kind: MediaKind) -> Self {
        Self {
            kind,
            redundancy: 0,
            score: TrackScore::new(kind_of(kind, false)),
            picture: Picture::default(),
            distance: LayerDistance::default(),
            reported: None,
            totals: (0, 0),
            concealed: 0.0,
            jitter: Samples::default(),
            before: SlotSent::default(),
            totals_before: (0, 0),
            concealed_before: 0.0,
        }
    }

    /// 0 to 100.
    pub(crate) fn score(&self) -> f64 {
        self.score.get()
    }

    /// A packet is forwarded; `marker` as the receiver gets it.
    #[inline]
    pub(crate) fn on_forwarded(
        &mut self,
        packet: &SourcePacket,
        marker: bool,
        rtt: Duration,
        now: Instant,
    ) {
        if self.kind == MediaKind::Video && !packet.late {
            let at = (packet.timestamp, marker);
            self.picture.on_packet(at, packet.frame.keyframe, rtt, now);
        }
    }

    /// So many packets before it are repeated in each packet of its sound (RED).
    pub(crate) fn set_redundancy(&mut self, packets: u8) {
        self.redundancy = packets;
    }

    /// The receiver asked for a keyframe: it shows nothing new.
    pub(crate) fn on_break(&mut self, now: Instant) {
        self.picture.freeze.on_break(now);
    }

    /// The viewer knows that nothing comes.
    pub(crate) fn on_stop(&mut self, now: Instant) {
        self.picture.freeze.on_stop(now);
    }

    /// The receiver's report (RFC 3550, section 6.4.1).
    pub(crate) fn on_report(&mut self, block: &ReportBlock, clock_rate: u32) {
        let seconds = f64::from(block.jitter) / f64::from(clock_rate.max(1));
        self.jitter.add(Duration::from_secs_f64(seconds.min(60.0)));
        let now = (block.highest_sequence, block.cumulative_lost);
        let Some((highest, lost)) = self.reported.replace(now) else { return };
        let packets = block.highest_sequence.wrapping_sub(highest);
        if packets > MAX_REPORTED_STEP {
            return;
        }
        let packets = u64::from(packets);
        let lost = u64::try_from(block.cumulative_lost.saturating_sub(lost)).unwrap_or(0);
        let lost = lost.min(packets);
        self.totals = (self.totals.0 + packets, self.totals.1 + lost);
        if self.kind == MediaKind::Audio && packets > 0 {
            let share = concealed_share(lost as f64 / packets as f64, self.redundancy);
            self.concealed += packets as f64 * share;
        }
    }

    /// A moment of the window: what would be forwarded if the network took everything, and what is.
    pub(crate) fn sample(&mut self, wanted: Option<u8>, forwarded: Option<u8>, now: Instant) {
        let layer = |spatial: Option<u8>| spatial.map(|spatial| Layer::new(spatial, 0));
        self.distance.set(layer(wanted), layer(forwarded), now);
    }

    /// The window is over. `paused`: by the network; `heard`: anything of the receiver.
    pub(crate) fn close(
        &mut self,
        sent: SlotSent,
        rtt: Option<Duration>,
        paused: bool,
        heard: bool,
        now: Instant,
    ) -> Figures {
        let before = std::mem::replace(&mut self.before, sent);
        let totals_before = std::mem::replace(&mut self.totals_before, self.totals);
        let concealed_before = std::mem::replace(&mut self.concealed_before, self.concealed);
        let jitter = std::mem::take(&mut self.jitter);
        let layer_distance = self.distance.take(now);
        let packets = self.totals.0 - totals_before.0;
        let lost = self.totals.1 - totals_before.1;
        let unrepaired = lost.saturating_sub(sent.resent - before.resent);
        let silent = sent.packets == before.packets;
        // Reports come every few seconds: without one there is nothing to judge by, unless the
        // receiver is gone altogether.
        if paused || silent || packets > 0 || !heard {
            self.score.set_kind(kind_of(self.kind, self.redundancy > 0));
            self.score.update(&Window {
                packets,
                lost: unrepaired,
                jitter: jitter.max,
                rtt,
                layer_distance,
                idle: if silent && !paused { WINDOW } else { Duration::ZERO },
                paused,
                heard,
            });
        }
        let concealed = self.concealed - concealed_before;
        Figures {
            packets,
            lost,
            unrepaired,
            jitter: jitter.mean(),
            rate: DataSize::bytes(sent.bytes - before.bytes).per(WINDOW),
            concealed: if packets > 0 { concealed / packets as f64 } else { 0.0 },
        }
    }

    /// How long the picture stood still, and how often.
    pub(crate) fn freezes(&self) -> (Duration, u32) {
        (self.picture.freeze.total(), self.picture.freeze.count())
    }

    /// Packets that reports were about since the beginning, and those lost.
    pub(crate) fn reported(&self) -> (u64, u64) {
        self.totals
    }

    /// Packets of sound that were made up since the beginning.
    pub(crate) fn concealed(&self) -> u64 {
        self.concealed.round() as u64
    }
}

fn kind_of(kind: MediaKind, redundant: bool) -> TrackKind {
    match kind {
        MediaKind::Video => TrackKind::Video,
        MediaKind::Audio if redundant => TrackKind::Red,
        MediaKind::Audio => TrackKind::Opus,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn block(highest_sequence: u32, cumulative_lost: i32) -> ReportBlock {
        ReportBlock {
            ssrc: 1,
            fraction_lost: 0,
            cumulative_lost,
            highest_sequence,
            jitter: 480,
            last_sr: 0,
            delay_since_last_sr: 0,
        }
    }

    fn sent(packets: u64) -> SlotSent {
        SlotSent { packets, bytes: 100 * packets, resent: 0 }
    }

    #[test]
    fn a_slot_counts_between_reports() {
        let (mut meter, now) = (SlotMeter::new(MediaKind::Audio), Instant::now());
        for (highest, lost) in [(70_000, 7), (70_100, 12), (70_200, 10), (70_300, 20)] {
            meter.on_report(&block(highest, lost), 48_000);
        }
        assert_eq!(meter.reported(), (300, 15), "a duplicate takes nothing back");
        let figures = meter.close(sent(300), Some(40 * MS), false, true, now);
        assert_eq!((figures.packets, figures.lost, figures.jitter), (300, 15, 10 * MS));
        assert!(figures.concealed > 0.04, "without redundancy each loss is heard");
        assert!(meter.score() < 80.0);
        meter.on_report(&block(3, 0), 48_000);
        assert_eq!(meter.reported().0, 300, "a receiver that counts anew");
        meter.on_report(&block(65_536 + 53, 0), 48_000);
        assert_eq!(meter.reported().0, 300, "a cycle too many");
        meter.on_report(&block(65_536 + 63, 0), 48_000);
        assert_eq!(meter.reported().0, 310);
    }

    #[test]
    fn a_slot_without_reports_keeps_its_score_until_nothing_is_heard() {
        let (mut meter, now) = (SlotMeter::new(MediaKind::Audio), Instant::now());
        meter.close(sent(250), None, false, true, now);
        assert_eq!(meter.score(), 100.0);
        meter.close(sent(500), None, false, false, now + WINDOW);
        assert!(meter.score() <= 20.0, "gone");
        meter.close(sent(500), None, false, false, now + 2 * WINDOW);
        assert_eq!(meter.score(), 100.0, "nothing was sent");
    }

    #[test]
    fn a_pause_by_the_network_is_poor_and_a_lower_layer_is_worse_than_the_wanted_one() {
        let (mut meter, now) = (SlotMeter::new(MediaKind::Video), Instant::now());
        meter.close(sent(0), None, true, true, now);
        assert_eq!(meter.score(), 30.0);
        let mut meter = SlotMeter::new(MediaKind::Video);
        meter.on_report(&block(1000, 0), 90_000);
        meter.on_report(&block(1500, 0), 90_000);
        meter.sample(Some(2), Some(1), now);
        meter.close(sent(500), None, false, true, now + WINDOW);
        assert!((60.0..80.0).contains(&meter.score()), "{}", meter.score());
    }

    #[test]
    fn a_track_counts_what_was_not_repaired() {
        let mut meter = TrackMeter::new(MediaKind::Video);
        meter.sample(4 * MS, Duration::ZERO);
        meter.sample(8 * MS, Duration::ZERO);
        let totals = TrackTotals {
            packets: 1000,
            lost: 30,
            repaired: 28,
            bytes: 625_000,
            ..TrackTotals::default()
        };
        let figures = meter.close(TrackKind::Video, totals, None, true);
        assert_eq!((figures.lost, figures.unrepaired, figures.jitter), (30, 2, 6 * MS));
        assert_eq!(figures.rate.as_bps(), 1_000_000);
        assert!(meter.score() > 95.0);
        let muted = TrackMeter::close(&mut meter, TrackKind::Video, totals, None, true);
        assert_eq!((muted.packets, muted.jitter), (0, Duration::ZERO));
        assert!(meter.score() <= 40.0, "it should have come");
        for _ in 0..5 {
            meter.sample(Duration::ZERO, Duration::from_secs(1));
        }
        meter.close(TrackKind::Video, totals, None, true);
        assert_eq!(meter.score(), 100.0, "nothing was to come");
    }
}
