//! A publisher and a viewer without engines: every packet of both is the test's own.

use std::ops::Range;
use std::time::Duration;

use airside_engine::codec::Codec;
use airside_engine::command::{
    AddSlot, AddTrack, Command, LayerSpec, MediaKind, ReceiveCodec, SendCodec, Source,
};
use airside_engine::ids::{SlotId, TrackId};
use airside_engine::rtcp::{self, Compound, ReportBlock, Rtcp, SenderInfo};
use airside_engine::rtp::{
    ExtensionKind, ExtensionMap, ExtensionSpans, HeaderFields, RtpView, write_header,
};
use airside_engine::units::NtpTime;

use crate::encoders::{Sent, Stream};
use crate::sim::{EXTENSIONS, ROOM, RawClient, Sim, wish};

/// SSRCs of the published streams, lowest first, each with that of its retransmissions.
pub const STREAMS: [(u32, u32); 2] = [(5, 6), (7, 8)];
/// What the viewer gets.
pub const SSRC: u32 = 900;
pub const RTX_SSRC: u32 = 901;
pub const VP8: u8 = 96;
pub const RTX: u8 = 97;

pub struct Stage {
    pub sim: Sim,
    pub publisher: RawClient,
    pub viewer: RawClient,
    pub track: TrackId,
    pub slot: SlotId,
    extensions: ExtensionMap,
    pub transport_cc: u16,
}

/// A packet as the viewer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// The section, if it says.
    pub mid: Option<String>,
    pub payload: Vec<u8>,
}

impl Stage {
    /// One stream of 720 lines, or two of 180 and 720.
    pub fn new(seed: u64, streams: usize) -> Self {
        let mut sim = Sim::new(seed, 1);
        let (publisher, viewer) = (RawClient::connect(&mut sim), RawClient::connect(&mut sim));
        let (track, slot) = (TrackId(sim.new_id()), SlotId(sim.new_id()));
        let heights_px: &[u16] = if streams == 1 { &[720] } else { &[180, 720] };
        let layers =
            heights_px.iter().zip(STREAMS).map(|(height_px, (ssrc, rtx_ssrc))| LayerSpec {
                ssrc: Some(ssrc),
                rtx_ssrc: Some(rtx_ssrc),
                height_px: *height_px,
                ..LayerSpec::default()
            });
        let transport = publisher.peer.transport;
        let (codec, clock_rate) = (Codec::Vp8, 90_000);
        let track_spec = AddTrack {
            track,
            room: ROOM,
            source: Source::Transport { transport, mid: "0".into() },
            kind: MediaKind::Video,
            codecs: vec![ReceiveCodec {
                payload_type: VP8,
                codec,
                clock_rate,
                rtx_payload_type: Some(RTX),
                nack: true,
                pli: true,
                fir: false,
                format: 1,
            }],
            layers: layers.collect(),
            screen: false,
            encrypted: false,
            muted: false,
            cname: String::new(),
        };
        sim.command(0, Command::AddTrack(track_spec));
        let slot_spec = AddSlot {
            slot,
            transport: viewer.peer.transport,
            mid: "0".into(),
            rid: None,
            kind: MediaKind::Video,
            ssrc: SSRC,
            rtx_ssrc: Some(RTX_SSRC),
            codecs: vec![SendCodec {
                payload_type: VP8,
                codec,
                clock_rate,
                rtx_payload_type: Some(RTX),
                format: 1,
            }],
        };
        sim.command(0, Command::AddSlot(slot_spec));
        sim.command(0, Command::Subscribe { slot, track, wish: wish(720) });
        let mut extensions = ExtensionMap::new();
        EXTENSIONS.iter().for_each(|(id, kind)| assert!(extensions.insert(*id, *kind)));
        Self { sim, publisher, viewer, track, slot, extensions, transport_cc: 0 }
    }

    pub fn wish(&mut self, height_px: u16, max_temporal: u8) {
        let mut wish = wish(height_px);
        wish.max_temporal = max_temporal;
        self.sim.command(0, Command::UpdateSubscription { slot: self.slot, wish });
    }

    /// The viewer gives a sign of life, without which consent ends.
    pub fn viewer_lives(&mut self) {
        let check = self.viewer.check(|_| {});
        self.viewer.send(&mut self.sim, &check);
    }

    /// Sender reports: these timestamps of the first and the second stream are of one moment.
    pub fn report(&mut self, timestamps: [u32; 2]) {
        self.report_at(Duration::ZERO, timestamps);
    }

    /// The same by a wall clock that is so far ahead.
    pub fn report_at(&mut self, ahead: Duration, timestamps: [u32; 2]) {
        let since = self.sim.now - self.sim.start + ahead;
        let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000) + since);
        let mut compound = Vec::new();
        for ((ssrc, _), rtp_timestamp) in STREAMS.into_iter().zip(timestamps) {
            let info = SenderInfo { ntp, rtp_timestamp, ..SenderInfo::default() };
            rtcp::write_sr(&mut compound, ssrc, &info, &[]);
        }
        let compound = self.publisher.rtcp(&compound);
        self.publisher.send(&mut self.sim, &compound);
    }

    /// Encrypts a packet of the publisher, with the next transport-wide number.
    pub fn protect(&mut self, ssrc: u32, payload_type: u8, sent: &Sent) -> Vec<u8> {
        let fields = HeaderFields {
            marker: sent.marker,
            payload_type,
            sequence: sent.seq as u16,
            timestamp: sent.timestamp,
            ssrc,
        };
        let number = self.transport_cc.to_be_bytes();
        self.transport_cc = self.transport_cc.wrapping_add(1);
        let mut packet = vec![0; 64];
        let extensions = [(ExtensionKind::TransportCc, &number[..])];
        let header = write_header(&mut packet, &fields, &extensions, &self.extensions).unwrap();
        packet.truncate(header.len);
        packet.extend(&sent.payload);
        self.publisher.protect(sent.seq, &packet, header.len)
    }

    pub fn send(&mut self, sent: &Sent) {
        let (ssrc, _) = STREAMS[usize::from(sent.stream)];
        let datagram = self.protect(ssrc, VP8, sent);
        self.publisher.send(&mut self.sim, &datagram);
    }

    pub fn send_all(&mut self, packets: &[Sent]) {
        packets.iter().for_each(|sent| self.send(sent));
    }

    /// Sends a packet again under a number of the first stream's RTX.
    pub fn send_rtx(&mut self, index: u64, payload: Vec<u8>) {
        let sent = Sent { seq: index, payload, ..Film::new(0).picture(false, 1)[0].clone() };
        let datagram = self.protect(STREAMS[0].1, RTX, &sent);
        self.publisher.send(&mut self.sim, &datagram);
    }

    /// Lets a little time pass; what the viewer got in it: media, retransmissions.
    pub fn see(&mut self) -> (Vec<Seen>, Vec<Seen>) {
        self.sim.run_ms(30);
        self.seen()
    }

    pub fn seen(&mut self) -> (Vec<Seen>, Vec<Seen>) {
        let (media, _) = self.viewer.hear(&mut self.sim);
        let of = |ssrc: u32| {
            let mine = media.iter().filter(|(view, _)| view.ssrc == ssrc);
            mine.map(|(view, data)| Seen {
                sequence: view.sequence,
                timestamp: view.timestamp,
                marker: view.marker,
                mid: section(&self.extensions, view, data),
                payload: data[payload(view, data)].to_vec(),
            })
            .collect()
        };
        (of(SSRC), of(RTX_SSRC))
    }

    /// The viewer has got media, and says so.
    pub fn acknowledge(&mut self, highest: u16) {
        let block = ReportBlock {
            ssrc: SSRC,
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_sequence: highest.into(),
            jitter: 0,
            last_sr: 0,
            delay_since_last_sr: 0,
        };
        let mut report = Vec::new();
        rtcp::write_rr(&mut report, 1, &[block]);
        let report = self.viewer.rtcp(&report);
        self.viewer.send(&mut self.sim, &report);
    }

    /// The viewer misses these.
    pub fn nack(&mut self, numbers: &[u16]) {
        let mut nack = Vec::new();
        assert_eq!(rtcp::write_nack(&mut nack, 1, SSRC, numbers, 250), numbers.len());
        let nack = self.viewer.rtcp(&nack);
        self.viewer.send(&mut self.sim, &nack);
    }

    /// What is sent again for these: number and payload.
    pub fn repaired(&mut self, numbers: &[u16]) -> Vec<(u16, Vec<u8>)> {
        self.seen();
        self.nack(numbers);
        let (_, again) = self.see();
        let split = |seen: Seen| {
            let (number, payload) = seen.payload.split_first_chunk::<2>().unwrap();
            (u16::from_be_bytes(*number), payload.to_vec())
        };
        again.into_iter().map(split).collect()
    }

    /// Numbers that the publisher is asked for, and keyframe requests, that have come until now.
    pub fn asked(&mut self) -> (Vec<u16>, usize) {
        let (_, reports) = self.publisher.hear(&mut self.sim);
        let (mut numbers, mut keyframes) = (Vec::new(), 0);
        for compound in &reports {
            for packet in Compound::new(compound).flatten() {
                match packet {
                    Rtcp::Nack(nack) => numbers.extend(nack.sequences()),
                    Rtcp::Pli(_) => keyframes += 1,
                    _ => {}
                }
            }
        }
        (numbers, keyframes)
    }
}

/// The section that a packet names.
fn section(extensions: &ExtensionMap, view: &RtpView, packet: &[u8]) -> Option<String> {
    let spans = ExtensionSpans::find(extensions, view, packet).unwrap();
    spans.mid(packet).map(|mid| mid.as_str().to_owned())
}

fn payload(view: &RtpView, data: &[u8]) -> Range<usize> {
    view.payload(data).unwrap()
}

/// VP8 without temporal layers, in as many packets as wanted; each payload ends in the packet's number.
pub struct Film {
    pub stream: Stream,
    pub picture: u16,
}

impl Film {
    /// Begins at numbers of the first rollover, as every publisher does.
    pub fn new(index: u8) -> Self {
        let stream = Stream { seq: 1000, ..Stream::new(index) };
        Self { stream, picture: 100 }
    }

    pub fn picture(&mut self, key: bool, packets: usize) -> Vec<Sent> {
        self.picture = (self.picture + 1) & 0x7fff;
        let [high, low] = self.picture.to_be_bytes();
        let payload = |at: usize| {
            let first = if at == 0 { 0x90 } else { 0x80 };
            let number = (self.stream.seq + at as u64).to_be_bytes();
            let head = [first, 0x80, high | 0x80, low, u8::from(!key), 0, 0, 0x9d];
            [&head[..], &number].concat()
        };
        let payloads = (0..packets).map(payload).collect();
        self.stream.frame(payloads, true)
    }
}

/// The packet's number at the publisher.
pub fn source(seen: &Seen) -> u64 {
    u64::from_be_bytes(*seen.payload.last_chunk().unwrap())
}

/// Numbers in order of arrival, relative to the first.
pub fn places(seen: &[Seen]) -> Vec<u16> {
    let first = seen.first().map_or(0, |seen| seen.sequence);
    seen.iter().map(|seen| seen.sequence.wrapping_sub(first)).collect()
}
