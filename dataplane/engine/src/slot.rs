//! One outgoing section: fixed mid, SSRC and RTX SSRC, and whatever track it carries now.
//!
//! Sequence numbers, timestamps and picture ids go on over every change of source, so that binding
//! another track is no more to the receiver than a layer switch.

mod again;
mod allocation;
mod audio;
mod rewrite;
mod sent;
mod target;

use again::Former;
pub(crate) use again::{Padding, Resent};
use allocation::Allocation;
pub(crate) use rewrite::Rewritten;
pub(crate) use sent::SentRing;

use std::time::{Duration, Instant};

use crate::codec::dependency_descriptor::Rewriter;
use crate::codec::{Codec, PayloadRewriter};
use crate::command::{AddSlot, MediaKind, ReceiveCodec, SendCodec, Wish};
use crate::ids::SlotId;
use crate::keyframe::FirFilter;
use crate::layer::{Layer, MAX_SPATIAL, MAX_TEMPORAL};
use crate::layers::{Selector, Shape};
use crate::packet::Form;
use crate::quality::SlotMeter;
use crate::responder::Responder;
use crate::rtp::ShortName;
use crate::rtt::SentReports;
use crate::sender::{Mapping, Sender, SenderReport, SourceClock};
use crate::seq_map::{AUDIO_RANGES, SeqMap, VIDEO_RANGES};
use crate::timestamps::{Situation, TimestampMap};
use crate::track::Track;
use crate::units::NtpTime;

/// Packets of which a slot remembers that they were sent again.
const VIDEO_RESPONDER_PACKETS: usize = 512;
const AUDIO_RESPONDER_PACKETS: usize = 64;
/// Sender reports: RFC 3550 would allow 5 s, but lip-sync and layer switches need them sooner.
const VIDEO_REPORT_INTERVAL: Duration = Duration::from_secs(1);
const AUDIO_REPORT_INTERVAL: Duration = Duration::from_millis(2500);
/// From a start or switch to the report that tells the receiver its clock.
const FIRST_REPORT_AFTER: Duration = Duration::from_millis(50);
/// First RTX number is in 1..=this; see `seq_map`.
const FIRST_RTX_RANGE: u64 = 32_767;

/// Payload types under which a slot sends one of its track's codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayloadTypes {
    pub(crate) media: u8,
    pub(crate) rtx: Option<u8>,
}

/// The track a slot carries.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Key of the track.
    pub(crate) track: usize,
    pub(crate) wish: Wish,
    /// By index into the track's codecs; `None`: the subscriber does not take it.
    payload_types: Vec<Option<PayloadTypes>>,
    /// Only this layer, whatever the wish (a client's section that publishes one layer).
    fixed_layer: Option<u8>,
    /// Index of RED in the track's codecs.
    red: Option<u8>,
}

/// What has been sent.
#[derive(Debug, Default)]
pub(crate) struct SlotStats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) resent: u64,
    pub(crate) nacked: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) switches: u64,
    /// From the receiver's last report: part lost since the one before, of 256.
    pub(crate) fraction_lost: u8,
    /// In clock ticks.
    pub(crate) jitter: u32,
}

/// State of one outgoing section.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    /// Key of the subscriber's transport.
    pub(crate) transport: usize,
    pub(crate) mid: Option<ShortName>,
    pub(crate) rid: Option<ShortName>,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    codecs: Vec<SendCodec>,
    clock_rate: u32,
    /// The far side is a server: everything inside a stream is sent, and it chooses.
    publishes: bool,
    pub(crate) bound: Option<Bound>,
    /// Counts bindings: part of the name by which the sequence map knows a source.
    generation: u32,
    /// Which packets of the track go out; made for `codec`.
    selector: Selector,
    codec: Option<u8>,
    target: Option<Layer>,
    /// What the path to the subscriber allows; `None`: nobody asked it.
    allocation: Option<Allocation>,
    /// Until the path's queue is shorter.
    lowest_only: bool,
    /// Bit per stream that has packets.
    live: u8,
    /// How the next start relates to what was sent before.
    situation: Situation,
    seq: SeqMap,
    timestamps: TimestampMap,
    payload: PayloadRewriter,
    descriptors: Rewriter,
    /// What was forwarded before the last switch.
    former: Option<Box<Former>>,
    /// When a keyframe was forwarded last.
    last_keyframe: Option<Instant>,
    /// The receiver agreed to dependency descriptors, and to headers large enough for them.
    pub(crate) takes_descriptors: bool,
    /// The layer forwarded last, under the name the sequence map has for it.
    last_source: Option<u32>,
    /// Last report of the source forwarded last, once its track is unbound.
    last_clock: Option<SourceClock>,
    /// Audio goes out in this form.
    form: Form,
    /// Part of the packets that the receiver loses, 0 to 1.
    loss: f32,
    /// Packets sent until its last report, and those repeated since.
    packets_at_report: u64,
    pub(crate) repeated: u32,
    /// Video orientation sent last, to be repeated where a switch has none.
    orientation: Option<u8>,
    next_rtx: u64,
    sender: Sender,
    pub(crate) sent_reports: SentReports,
    pub(crate) responder: Responder,
    /// Of video without RTX: what went out, from the first NACK on.
    pub(crate) sent: Option<SentRing>,
    pub(crate) fir: FirFilter,
    /// The receiver has reported on our SSRC: it knows which section this is.
    pub(crate) acknowledged: bool,
    pub(crate) report_at: Option<Instant>,
    pub(crate) stats: SlotStats,
    pub(crate) meter: SlotMeter,
}

impl Slot {
    /// `random` decides where sequence numbers start.
    pub(crate) fn new(spec: AddSlot, transport: usize, publishes: bool, random: u64) -> Self {
        let clock_rate = spec.codecs.first().map_or(90_000, |codec| codec.clock_rate);
        let (ranges, resent) = match spec.kind {
            MediaKind::Audio => (AUDIO_RANGES, AUDIO_RESPONDER_PACKETS),
            MediaKind::Video => (VIDEO_RANGES, VIDEO_RESPONDER_PACKETS),
        };
        Self {
            id: spec.slot,
            transport,
            mid: ShortName::new(spec.mid.as_bytes()),
            rid: spec.rid.and_then(|rid| ShortName::new(rid.as_bytes())),
            kind: spec.kind,
            ssrc: spec.ssrc,
            rtx_ssrc: spec.rtx_ssrc,
            codecs: spec.codecs,
            clock_rate,
            publishes,
            bound: None,
            generation: 0,
            selector: Selector::new(Codec::Opus, Shape::Simulcast),
            codec: None,
            target: None,
            allocation: None,
            lowest_only: false,
            live: u8::MAX,
            situation: Situation::Rebound,
            seq: SeqMap::new(random as u32, ranges),
            timestamps: TimestampMap::new(clock_rate),
            payload: PayloadRewriter::default(),
            descriptors: Rewriter::default(),
            former: None,
            last_keyframe: None,
            takes_descriptors: false,
            last_source: None,
            last_clock: None,
            form: Form::Published,
            loss: 0.0,
            packets_at_report: 0,
            repeated: 0,
            orientation: None,
            next_rtx: 1 + (random >> 32) % FIRST_RTX_RANGE,
            sender: Sender::new(clock_rate),
            sent_reports: SentReports::default(),
            responder: Responder::new(resent),
            sent: None,
            fir: FirFilter::default(),
            acknowledged: false,
            report_at: None,
            stats: SlotStats::default(),
            meter: SlotMeter::new(spec.kind),
        }
    }

    /// RTP ticks per second.
    pub(crate) fn clock_rate(&self) -> u32 {
        self.clock_rate.max(1)
    }

    /// The published stream that is forwarded.
    pub(crate) fn stream(&self) -> Option<u8> {
        self.selector.stream()
    }

    /// The layers that are forwarded; None while paused or waiting for a keyframe.
    pub(crate) fn current(&self) -> Option<Layer> {
        let Layer { spatial, temporal } = self.selector.current()?;
        let (top, fastest) = (MAX_SPATIAL as u8 - 1, MAX_TEMPORAL as u8 - 1);
        Some(Layer::new(spatial.min(top), temporal.min(fastest)))
    }

    /// The highest layers to forward; None: paused.
    pub(crate) fn target(&self) -> Option<Layer> {
        self.target
    }

    /// Payload types for each of the track's codecs, by format.
    fn payload_types(&self, codecs: &[ReceiveCodec]) -> Vec<Option<PayloadTypes>> {
        let find = |source: &ReceiveCodec| {
            let same =
                |codec: &&SendCodec| codec.codec == source.codec && codec.format == source.format;
            self.codecs.iter().find(same).map(|codec| PayloadTypes {
                media: codec.payload_type,
                rtx: codec.rtx_payload_type.filter(|_| self.rtx_ssrc.is_some()),
            })
        };
        codecs.iter().map(find).collect()
    }

    /// The report that is due for this slot, and when the next one is.
    pub(crate) fn report(
        &mut self,
        track: &Track,
        ntp: NtpTime,
        jitter: f32,
        now: Instant,
    ) -> Option<SenderReport> {
        let interval = match self.kind {
            MediaKind::Audio => AUDIO_REPORT_INTERVAL,
            MediaKind::Video => VIDEO_REPORT_INTERVAL,
        };
        self.report_at = Some(now + interval.mul_f32(jitter));
        self.forget_former(now);
        let layer = track.layers.get(usize::from(self.stream()?))?;
        let mapping = match layer.clock {
            Some(clock) => Mapping::Source { clock, shift: self.timestamps.shift() },
            None => Mapping::Sending { ntp },
        };
        let report = self.sender.report(mapping, now)?;
        self.sent_reports.on_sent(report.ntp.middle(), now);
        Some(report)
    }
}
