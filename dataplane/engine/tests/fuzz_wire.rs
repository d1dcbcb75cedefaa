//! Every parser of network bytes against random bytes and damaged good ones.
//!
//! Deterministic and quick: a fixed seed, a corpus of packets that our own writers made (their
//! unit tests hold them against other stacks), and a few kinds of damage. What is checked, beyond
//! "no panic": values stay inside the packet, and iterators end.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use airside_engine::demux::{PacketKind, classify};
use airside_engine::rtcp::{
    self, Arrival, Compound, DlrrItem, FirEntry, ReportBlock, Rtcp, SenderInfo,
};
use airside_engine::rtp::{
    ExtensionKind, ExtensionMap, ExtensionSpans, HeaderFields, RtpView, write_header,
};
use airside_engine::srtp::{MAX_TRAILER_LEN, SrtpProfile, SrtpReceiver, SrtpSender};
use airside_engine::stun::{self, BindingRequest, ErrorCode, IceRole, Message};
use airside_engine::units::{Bitrate, NtpTime};

const ROUNDS: usize = 200_000;
const KEY: &[u8] = b"0123456789abcdef012345";

/// SplitMix64: small, seeded, good enough to choose damage.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A damaged copy of `sample`: bits and bytes changed, cut, grown, or a piece repeated.
fn damage(random: &mut Random, sample: &[u8]) -> Vec<u8> {
    const EDGES: [u8; 8] = [0, 1, 0x0F, 0x7F, 0x80, 0xBE, 0xFE, 0xFF];
    let mut bytes = sample.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = EDGES[random.below(EDGES.len())],
            2 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            3 => bytes.truncate(at),
            4 => {
                let len = random.below(12);
                bytes.extend(random.bytes(len));
            }
            _ => {
                let end = at + random.below(bytes.len() - at + 1);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Runs `target` over random bytes and damaged samples.
fn fuzz(seed: u64, samples: &[Vec<u8>], mut target: impl FnMut(&[u8])) {
    let mut random = Random(seed);
    for sample in samples {
        target(sample);
        (0..sample.len()).for_each(|len| target(&sample[..len]));
    }
    for round in 0..ROUNDS {
        let bytes = if round % 8 == 0 {
            let len = random.below(96);
            random.bytes(len)
        } else {
            let sample = &samples[random.below(samples.len())];
            damage(&mut random, sample)
        };
        target(&bytes);
    }
}

fn stun_samples() -> Vec<Vec<u8>> {
    let mut out = [0; stun::MAX_MESSAGE_LEN];
    let mut samples = Vec::new();
    let request = BindingRequest {
        transaction_id: [7; 12],
        username: "server:client",
        priority: 1,
        role: IceRole::Controlling(2),
        use_candidate: true,
        nomination: Some(3),
    };
    let len = stun::write_binding_request(&mut out, &request, KEY).unwrap();
    samples.push(out[..len].to_vec());
    for address in ["192.0.2.1:5", "[2001:db8::1]:6"] {
        let address = address.parse().unwrap();
        let len = stun::write_binding_success(&mut out, &[7; 12], address, KEY).unwrap();
        samples.push(out[..len].to_vec());
    }
    let unknown = [0x7000, 0x7001, 0x7002];
    let code = ErrorCode::UnknownAttribute;
    let len = stun::write_binding_error(&mut out, &[7; 12], code, &unknown, Some(KEY)).unwrap();
    samples.push(out[..len].to_vec());
    samples
}

fn extension_map(two_byte: bool) -> ExtensionMap {
    let mut map = ExtensionMap::new().with_two_byte(two_byte);
    for (at, kind) in ExtensionKind::ALL.into_iter().enumerate() {
        map.insert(if at == 14 { 16 } else { at as u8 + 1 }, kind);
    }
    map
}

fn rtp_samples() -> Vec<Vec<u8>> {
    let fields =
        HeaderFields { marker: true, payload_type: 96, sequence: 9, timestamp: 8, ssrc: 7 };
    let values: [(ExtensionKind, &[u8]); 7] = [
        (ExtensionKind::Mid, b"0"),
        (ExtensionKind::Rid, b"h"),
        (ExtensionKind::AbsSendTime, &[0; 3]),
        (ExtensionKind::TransportCc, &[0; 2]),
        (ExtensionKind::AudioLevel, &[0x85]),
        (ExtensionKind::AbsCaptureTime, &[1; 16]),
        (ExtensionKind::DependencyDescriptor, &[2; 30]),
    ];
    [false, true]
        .into_iter()
        .flat_map(|two_byte| {
            let mut out = [0; 200];
            let map = extension_map(two_byte);
            let written = write_header(&mut out, &fields, &values, &map).unwrap();
            let media = out[..written.len + 20].to_vec();
            let mut padded = media.clone();
            padded[0] |= 0x20;
            *padded.last_mut().unwrap() = 4;
            let mut sources = media.clone();
            sources[0] |= 2;
            sources.splice(12..12, [1; 8]);
            [media, padded, sources]
        })
        .collect()
}

fn rtcp_samples() -> Vec<Vec<u8>> {
    let block = ReportBlock { ssrc: 1, last_sr: 2, ..ReportBlock::default() };
    let mut compound = Vec::new();
    rtcp::write_sr(&mut compound, 1, &SenderInfo::default(), &[block; 2]);
    rtcp::write_sdes(&mut compound, &[(1, b"cname"), (2, b"other")]);
    let mut feedback = Vec::new();
    rtcp::write_rr(&mut feedback, 1, &[block]);
    rtcp::write_nack(&mut feedback, 1, 2, &[65_530, 65_535, 0, 90], 9);
    rtcp::write_pli(&mut feedback, 1, 2);
    rtcp::write_fir(&mut feedback, 1, FirEntry { media_ssrc: 2, sequence: 3 });
    rtcp::write_remb(&mut feedback, 1, Bitrate::mbps(3), &[2, 3]);
    let mut other = Vec::new();
    rtcp::write_bye(&mut other, &[1, 2, 3]);
    rtcp::write_rrtr(&mut other, 1, NtpTime(5));
    let item = DlrrItem { ssrc: 1, last_rr: 2, delay_since_last_rr: 3 };
    rtcp::write_dlrr(&mut other, 1, &[item; 2]);
    let arrivals: Vec<Arrival> = (0..60)
        .map(|n| Arrival { sequence: n * (1 + n % 3), at_us: 1_000_000 + n as i64 * 40_000 })
        .collect();
    let mut samples = rtcp::build_twcc(1, 2, &mut 0, 0, &sorted(arrivals));
    samples.extend([compound, feedback, other]);
    samples
}

fn sorted(mut arrivals: Vec<Arrival>) -> Vec<Arrival> {
    arrivals.sort_by_key(|arrival| arrival.sequence);
    arrivals.dedup_by_key(|arrival| arrival.sequence);
    arrivals
}

fn fuzz_demux(data: &[u8]) {
    match classify(data) {
        Ok(PacketKind::Stun) => assert!(data.len() >= 20),
        Ok(PacketKind::Dtls) => assert!(data.len() >= 13),
        Ok(PacketKind::Rtp) => assert!(data.len() >= 12),
        Ok(PacketKind::Rtcp) => assert!(data.len() >= 8),
        Err(_) => {}
    }
}

fn fuzz_stun(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    assert!(message.username().is_none_or(|name| name.len() <= 512));
    assert!(message.unknown_attributes().as_slice().len() <= 8);
    assert!(message.error_code().is_none_or(|code| (300..700).contains(&code)));
    let _ = message.fingerprint_matches();
    if message.integrity_matches(KEY) {
        assert!(message.has_integrity());
    }
    let _ = (message.class(), message.ufrags(), message.role(), message.xor_mapped_address());
}

fn fuzz_rtp(maps: &[ExtensionMap; 2], data: &[u8]) {
    let Ok(view) = RtpView::parse(data) else { return };
    assert!((12..=data.len()).contains(&view.header_len()));
    if let Ok(payload) = view.payload(data) {
        assert!(payload.start == view.header_len() && payload.end <= data.len());
    }
    assert!(view.elements(data).count() <= view.header_len());
    for map in maps {
        let Ok(spans) = ExtensionSpans::find(map, &view, data) else { continue };
        for kind in ExtensionKind::ALL {
            assert!(spans.get(kind, data).is_none_or(|value| value.len() <= 255));
            // Of a shorter buffer than the one it was found in.
            let _ = spans.get(kind, &data[..data.len() / 2]);
        }
        let _ = (spans.mid(data), spans.rid(data), spans.repaired_rid(data));
        let _ = (spans.abs_send_time(data), spans.transport_cc(data), spans.audio_level(data));
        let _ = (spans.playout_delay(data), spans.abs_capture_time(data));
    }
}

fn fuzz_rtcp(data: &[u8]) {
    // A packet takes at least its header.
    let mut left = data.len() / 4 + 1;
    for packet in Compound::new(data) {
        assert!(left > 0);
        left -= 1;
        let Ok(packet) = packet else { continue };
        let entries = match packet {
            Rtcp::SenderReport(report) => report.reports.inspect(use_block).count(),
            Rtcp::ReceiverReport(report) => report.reports.inspect(use_block).count(),
            Rtcp::Sdes(sdes) => sdes.chunks().count(),
            Rtcp::Bye(bye) => bye.ssrcs().count(),
            Rtcp::Nack(nack) => nack.sequences().count() / 4,
            Rtcp::Pli(_) => 0,
            Rtcp::Fir(fir) => fir.entries().count(),
            Rtcp::Twcc(twcc) => {
                assert!(twcc.received().count() <= usize::from(twcc.status_count));
                twcc.received().count()
            }
            Rtcp::Remb(remb) => remb.ssrcs().count(),
            Rtcp::Xr(xr) => xr.blocks().count(),
        };
        assert!(entries <= data.len(), "more entries than bytes");
    }
}

fn use_block(block: &ReportBlock) {
    let _ = block.round_trip(block.jitter);
}

#[test]
fn demux_survives() {
    let samples = [stun_samples(), rtp_samples(), rtcp_samples()].concat();
    fuzz(1, &samples, fuzz_demux);
}

#[test]
fn stun_survives() {
    fuzz(2, &stun_samples(), fuzz_stun);
    // With the length field made right again, so that damage reaches the attributes.
    fuzz(3, &stun_samples(), |data| {
        let mut data = data[..data.len() / 4 * 4].to_vec();
        if data.len() >= 20 {
            let len = (data.len() - 20) as u16;
            data[2..4].copy_from_slice(&len.to_be_bytes());
            data[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
            fuzz_stun(&data);
        }
    });
}

#[test]
fn rtp_survives() {
    let maps = [extension_map(false), extension_map(true)];
    fuzz(4, &rtp_samples(), |data| fuzz_rtp(&maps, data));
}

#[test]
fn rtcp_survives() {
    fuzz(5, &rtcp_samples(), fuzz_rtcp);
}

#[test]
fn srtp_survives_and_opens_nothing_that_was_damaged() {
    for profile in SrtpProfile::PREFERENCE {
        let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
        let mut sender = SrtpSender::new(profile, &key, &salt).unwrap();
        let mut receiver = SrtpReceiver::new(profile, &key, &salt).unwrap();
        let rtp: Vec<Vec<u8>> = rtp_samples()
            .into_iter()
            .map(|mut packet| {
                let header_len = RtpView::parse(&packet).unwrap().header_len();
                let len = packet.len();
                packet.resize(len + MAX_TRAILER_LEN, 0);
                let len = sender.protect_rtp(9, &mut packet, header_len, len).unwrap();
                packet[..len].to_vec()
            })
            .collect();
        fuzz(6, &rtp, |data| {
            let mut data = data.to_vec();
            let genuine = rtp.contains(&data);
            if let Ok(view) = RtpView::parse(&data) {
                let opened = receiver.unprotect_rtp(&mut data, &view);
                assert!(genuine || opened.is_err());
            }
        });
        let rtcp: Vec<Vec<u8>> = rtcp_samples()
            .into_iter()
            .map(|mut packet| {
                let len = packet.len();
                packet.resize(len + MAX_TRAILER_LEN, 0);
                let len = sender.protect_rtcp(&mut packet, len).unwrap();
                packet[..len].to_vec()
            })
            .collect();
        fuzz(7, &rtcp, |data| {
            let mut data = data.to_vec();
            let genuine = rtcp.contains(&data);
            let opened = receiver.unprotect_rtcp(&mut data);
            assert!(genuine || opened.is_err());
        });
    }
}
