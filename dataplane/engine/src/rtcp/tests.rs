use super::*;
use crate::units::{Bitrate, NtpTime};
use proptest::prelude::*;
use std::time::Duration;

// Written by aiortc 1.x, a stack that is not ours.
const SR: &[u8] = b"\x81\xc8\x00\x0c\x11\x22\x33\x44\xe1\xa2\xb3\xc4\x55\x66\x77\x88\x00\x00\x03\xe8\
    \x00\x00\x00\x05\x00\x00\x17\x70\x00\x00\x00\x07\x40\xff\xff\xfd\x00\x01\xff\xfe\x00\x00\x00\x63\
    \xb3\xc4\x55\x66\x00\x01\x00\x00";
const RR: &[u8] = b"\x80\xc9\x00\x01\x00\x00\x00\x01";
const SDES: &[u8] = b"\x81\xca\x00\x05\x00\x00\x00\x09\x01\x08{abcdef}\x02\x01x\x00\x00\x00";
const BYE: &[u8] = b"\x82\xcb\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02";
const NACK: &[u8] = b"\x81\xcd\x00\x05\x00\x00\x00\x01\x00\x00\x00\x02\x00\x0a\x80\x01\x00\x1b\x00\x00\x00\x64\x00\x00";
const PLI: &[u8] = b"\x81\xce\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02";
const REMB: &[u8] = b"\x8f\xce\x00\x06\x00\x00\x00\x01\x00\x00\x00\x00REMB\
    \x02\x12\x62\x5a\x00\x00\x00\x03\x00\x00\x00\x04";

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 7,
    fraction_lost: 64,
    cumulative_lost: -3,
    highest_sequence: 0x0001_FFFE,
    jitter: 99,
    last_sr: 0xB3C4_5566,
    delay_since_last_sr: 65_536,
};

fn only(bytes: &[u8]) -> Rtcp<'_> {
    let mut compound = Compound::new(bytes);
    let packet = compound.next().unwrap().unwrap();
    assert!(compound.next().is_none());
    packet
}

macro_rules! parsed {
    ($kind:ident, $bytes:expr) => {
        match only($bytes) {
            Rtcp::$kind(packet) => packet,
            other => panic!("{other:?}"),
        }
    };
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    assert!(out.len().is_multiple_of(4));
    out
}

#[test]
fn sender_report() {
    let report = parsed!(SenderReport, SR);
    let info = SenderInfo {
        ntp: NtpTime(0xE1A2_B3C4_5566_7788),
        rtp_timestamp: 1000,
        packet_count: 5,
        octet_count: 6000,
    };
    assert_eq!((report.ssrc, report.info), (0x1122_3344, info));
    assert_eq!(report.reports.collect::<Vec<_>>(), [BLOCK]);
    assert_eq!(written(|out| write_sr(out, 0x1122_3344, &info, &[BLOCK])), SR);
}

#[test]
fn receiver_report() {
    assert_eq!(parsed!(ReceiverReport, RR).reports.len(), 0);
    assert_eq!(written(|out| write_rr(out, 1, &[])), RR);
}

#[test]
fn more_than_31_blocks_go_into_further_packets() {
    let blocks = [BLOCK; 70];
    for bytes in [
        written(|out| write_rr(out, 1, &blocks)),
        written(|out| write_sr(out, 1, &SenderInfo::default(), &blocks)),
    ] {
        let counts: Vec<usize> = Compound::new(&bytes)
            .map(|packet| match packet.unwrap() {
                Rtcp::SenderReport(report) => report.reports.len(),
                Rtcp::ReceiverReport(report) => report.reports.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [31, 31, 8]);
    }
}

#[test]
fn cumulative_loss_is_clamped_to_24_bits() {
    for (lost, want) in [(i32::MAX, 0x7F_FFFF), (i32::MIN, -0x80_0000), (-1, -1), (5, 5)] {
        let bytes =
            written(|out| write_rr(out, 1, &[ReportBlock { cumulative_lost: lost, ..BLOCK }]));
        let back = parsed!(ReceiverReport, &bytes).reports.next().unwrap();
        assert_eq!(back.cumulative_lost, want);
    }
}

#[test]
fn round_trip_time_and_what_is_none() {
    let block =
        |last_sr, delay_since_last_sr| ReportBlock { last_sr, delay_since_last_sr, ..BLOCK };
    let second = 65_536;
    assert_eq!(block(1000, 500).round_trip(1000 + 500 + second), Some(Duration::from_secs(1)));
    // Compact NTP wrapped between report and answer.
    let wrapped = block(u32::MAX - 100, 0).round_trip(second - 101);
    assert_eq!(wrapped, Some(Duration::from_secs(1)));
    assert_eq!(block(0, 0).round_trip(second), None, "no sender report yet");
    assert_eq!(block(1000, second).round_trip(1000 + 5), None, "held longer than it was away");
    assert_eq!(block(1000, 0).round_trip(1000), None, "nothing");
    assert_eq!(block(1000, 0).round_trip(1000 + 10 * second), None, "too long");
}

#[test]
fn source_description() {
    let sdes = parsed!(Sdes, SDES);
    let chunks: Vec<_> = sdes.chunks().collect();
    assert_eq!(chunks, [SdesChunk { ssrc: 9, cname: Some(b"{abcdef}") }]);
}

#[test]
fn source_descriptions_of_every_padding_round_trip() {
    let names: Vec<Vec<u8>> = (0..40).map(|len| vec![b'c'; len]).collect();
    let sources: Vec<(u32, &[u8])> =
        names.iter().enumerate().map(|(at, name)| (at as u32, &name[..])).collect();
    let bytes = written(|out| write_sdes(out, &sources));
    let mut back = Vec::new();
    for packet in Compound::new(&bytes) {
        let Ok(Rtcp::Sdes(sdes)) = packet else { panic!("{packet:?}") };
        back.extend(sdes.chunks().map(|chunk| (chunk.ssrc, chunk.cname.unwrap())));
    }
    assert_eq!(back, sources);
    let long = written(|out| write_sdes(out, &[(1, &[b'x'; 300])]));
    assert_eq!(parsed!(Sdes, &long).chunks().next().unwrap().cname.unwrap().len(), 255);
}

#[test]
fn source_description_without_end_is_refused() {
    // One chunk whose items fill the packet to the last byte.
    let bytes = b"\x81\xca\x00\x02\x00\x00\x00\x09\x01\x02ab";
    let error = Compound::new(bytes).next().unwrap().unwrap_err();
    assert_eq!(error, ParseError::Truncated(Format::Sdes));
}

#[test]
fn goodbye() {
    assert_eq!(parsed!(Bye, BYE).ssrcs().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(written(|out| write_bye(out, &[1, 2])), BYE);
    // With a reason, which is ignored.
    let bytes = b"\x81\xcb\x00\x03\x00\x00\x00\x05\x03bye\x00\x00\x00\x00";
    assert_eq!(parsed!(Bye, bytes).ssrcs().collect::<Vec<_>>(), [5]);
    assert_eq!(Compound::new(&written(|out| write_bye(out, &[0; 32]))).count(), 2);
}

#[test]
fn nack() {
    let missing = [10, 11, 26, 27, 100];
    assert_eq!(parsed!(Nack, NACK).sequences().collect::<Vec<_>>(), missing);
    assert_eq!(written(|out| assert_eq!(write_nack(out, 1, 2, &missing, 10), 5)), NACK);
}

#[test]
fn nack_wraps_inside_its_bitmask_and_stops_at_the_limit() {
    let missing = [65_533, 65_535, 0, 1, 13, 14, 500];
    let bytes = written(|out| assert_eq!(write_nack(out, 1, 2, &missing, 2), 6));
    assert_eq!(parsed!(Nack, &bytes).sequences().collect::<Vec<_>>(), missing[..6]);
    assert_eq!(bytes.len(), 12 + 2 * 4);
    let none = written(|out| assert_eq!(write_nack(out, 1, 2, &[], 2), 0));
    assert!(none.is_empty());
    let repeated = written(|out| assert_eq!(write_nack(out, 1, 2, &[5, 5, 6, 6], 2), 4));
    assert_eq!(parsed!(Nack, &repeated).sequences().collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn keyframe_requests() {
    assert_eq!(parsed!(Pli, PLI), Pli { sender_ssrc: 1, media_ssrc: 2 });
    assert_eq!(written(|out| write_pli(out, 1, 2)), PLI);
    let entry = FirEntry { media_ssrc: 9, sequence: 200 };
    let bytes = written(|out| write_fir(out, 1, entry));
    assert_eq!(bytes, b"\x84\xce\x00\x04\0\0\0\x01\0\0\0\0\0\0\0\x09\xc8\0\0\0");
    assert_eq!(parsed!(Fir, &bytes).entries().collect::<Vec<_>>(), [entry]);
}

#[test]
fn estimate() {
    let remb = parsed!(Remb, REMB);
    assert_eq!(remb.bitrate, Bitrate::bps(2_500_000));
    assert_eq!(remb.ssrcs().collect::<Vec<_>>(), [3, 4]);
    assert_eq!(written(|out| write_remb(out, 1, Bitrate::bps(2_500_000), &[3, 4])), REMB);
}

#[test]
fn estimate_with_an_exponent_past_64_bits_is_refused() {
    let with = |word: u32| {
        let mut bytes = REMB.to_vec();
        bytes[16..20].copy_from_slice(&word.to_be_bytes());
        let packet = Compound::new(&bytes).next().unwrap();
        packet.map(|packet| match packet {
            Rtcp::Remb(remb) => remb.bitrate.as_bps(),
            other => panic!("{other:?}"),
        })
    };
    let word = |exponent: u32, mantissa: u32| 2 << 24 | exponent << 18 | mantissa;
    assert_eq!(with(word(63, 1)), Ok(1 << 63));
    assert_eq!(with(word(63, 2)), Err(ParseError::BadValue(Format::Remb)));
    assert_eq!(with(word(46, 0x3_FFFF)), Ok(0x3_FFFF << 46));
    assert_eq!(with(word(47, 0x3_FFFF)), Err(ParseError::BadValue(Format::Remb)));
    assert_eq!(with(word(63, 0)), Ok(0));
}

#[test]
fn other_application_feedback_is_skipped() {
    let mut bytes = REMB.to_vec();
    bytes[12] = b'X';
    assert!(Compound::new(&bytes).next().is_none());
}

#[test]
fn extended_reports() {
    let item = |ssrc| DlrrItem { ssrc, last_rr: 0x1234_5678, delay_since_last_rr: 65_536 };
    let bytes = written(|out| {
        write_rrtr(out, 1, NtpTime(u64::MAX));
        write_dlrr(out, 1, &[item(2), item(3)]);
    });
    let blocks: Vec<XrBlock> = Compound::new(&bytes)
        .flat_map(|packet| match packet.unwrap() {
            Rtcp::Xr(xr) => xr.blocks(),
            other => panic!("{other:?}"),
        })
        .collect();
    let want = [XrBlock::Rrtr(NtpTime(u64::MAX)), XrBlock::Dlrr(item(2)), XrBlock::Dlrr(item(3))];
    assert_eq!(blocks, want);
    assert_eq!(item(2).round_trip(0x1234_5678 + 2 * 65_536), Some(Duration::from_secs(1)));
}

#[test]
fn malformed_extended_reports() {
    // Unknown block, then an empty DLRR, then RRTR: only the last says something.
    let good =
        b"\x80\xcf\x00\x07\0\0\0\x01\x07\0\0\x01abcd\x05\0\0\0\x04\0\0\x02\0\0\0\0\0\0\0\x09";
    let blocks: Vec<_> = parsed!(Xr, good).blocks().collect();
    assert_eq!(blocks, [XrBlock::Rrtr(NtpTime(9))]);
    for bad in [
        &b"\x80\xcf\x00\x02\0\0\0\x01\x04\0\0\x02"[..], // block past the end
        b"\x80\xcf\x00\x03\0\0\0\x01\x04\0\0\x01abcd",  // short RRTR
        b"\x80\xcf\x00\x03\0\0\0\x01\x05\0\0\x01abcd",  // half a DLRR item
    ] {
        let packet = Compound::new(bad).next().unwrap();
        assert_eq!(packet.unwrap_err().format(), Format::Xr);
    }
}

#[test]
fn compound_gives_what_came_before_a_malformed_tail() {
    let unknown = b"\x80\xcc\x00\x02\0\0\0\x01name";
    let tails: [&[u8]; 6] = [
        b"\x80",                       // half a header
        b"\x80\xc9\xff\xff\0\0\0\x01", // length past the end
        b"\x40\xc9\x00\x01\0\0\0\x01", // version 1
        b"\x82\xc9\x00\x01\0\0\0\x01", // two blocks claimed, none there
        b"\xa0\xc9\x00\x01\0\0\0\x00", // padding of nothing
        b"\xa0\xc9\x00\x01\0\0\0\x05", // padding past the packet
    ];
    for tail in tails {
        let bytes = [SR, unknown, SDES, tail, PLI].concat();
        let packets: Vec<_> = Compound::new(&bytes).collect();
        assert!(
            matches!(&packets[..], [Ok(Rtcp::SenderReport(_)), Ok(Rtcp::Sdes(_)), Err(_)]),
            "{packets:?}"
        );
    }
}

#[test]
fn reduced_size_feedback_and_padding_are_accepted() {
    parsed!(Pli, PLI);
    let padded = b"\xa1\xce\x00\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x04";
    parsed!(Pli, padded);
    assert_eq!(Compound::new(&[]).count(), 0);
}

fn arrivals(pairs: &[(u64, i64)]) -> Vec<Arrival> {
    pairs.iter().map(|&(sequence, at_us)| Arrival { sequence, at_us }).collect()
}

/// (base, count) of each packet.
type Ranges = Vec<(u16, u16)>;

/// Everything that feedback packets say: (number, arrival), and the range of numbers covered.
fn read_back(packets: &[Vec<u8>]) -> (Vec<(u16, i64)>, Ranges) {
    let (mut received, mut ranges) = (Vec::new(), Vec::new());
    for bytes in packets {
        assert!(bytes.len() <= MAX_FEEDBACK_LEN && bytes.len().is_multiple_of(4));
        let twcc = parsed!(Twcc, bytes);
        ranges.push((twcc.base_sequence, twcc.status_count));
        received.extend(twcc.received());
    }
    (received, ranges)
}

#[test]
fn transport_feedback_of_the_draft_layout() {
    // Base 5, 7 packets, reference 2 x 64 ms, report 9; a run of two small deltas; a vector of
    // two-bit symbols: lost, large, small, lost, lost, and two places over.
    let bytes = [
        0x8F,
        205,
        0,
        7,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        0,
        5,
        0,
        7,
        0,
        0,
        2,
        9, // head
        0x20,
        2,
        0b1100_1001,
        0, // chunks
        4,
        8,
        0xFF,
        0xFF,
        40,
        0,
        0,
        0, // deltas, padding
    ];
    let twcc = parsed!(Twcc, &bytes);
    assert_eq!((twcc.base_sequence, twcc.status_count, twcc.feedback_count), (5, 7, 9));
    let start = 128_000;
    let want = [(5, start + 1000), (6, start + 3000), (8, start + 2750), (9, start + 12_750)];
    assert_eq!(twcc.received().collect::<Vec<_>>(), want);
}

#[test]
fn transport_feedback_reports_loss_reordering_and_the_16_bit_wrap() {
    let sent = arrivals(&[
        (65_534, 1_000_000),
        (65_535, 1_001_000),
        (65_538, 1_000_250),
        (65_539, 1_400_000),
        (65_600, 1_400_000),
    ]);
    let mut count = 255;
    let packets = build_twcc(1, 2, &mut count, 65_530, &sent);
    assert_eq!(count, 0);
    let (received, ranges) = read_back(&packets);
    let want: Vec<_> = sent.iter().map(|a| (a.sequence as u16, a.at_us)).collect();
    assert_eq!(received, want);
    assert_eq!(ranges, [(65_530, 71)]);
}

#[test]
fn transport_feedback_splits_where_a_delta_does_not_fit() {
    let sent = arrivals(&[(1, 0), (2, 8_191_750), (3, 8_191_750 + 8_192_000)]);
    let mut count = 0;
    let packets = build_twcc(1, 2, &mut count, 1, &sent);
    let (received, ranges) = read_back(&packets);
    assert_eq!(received.len(), 3);
    assert_eq!(ranges, [(1, 2), (3, 1)]);
    assert_eq!(count, 2);
}

#[test]
fn transport_feedback_splits_at_its_length() {
    // Every delta large and every second packet lost: the worst for chunks and deltas.
    let sent: Vec<Arrival> =
        (0..3000).map(|n| Arrival { sequence: 2 * n, at_us: n as i64 * 100_000 }).collect();
    let packets = build_twcc(1, 2, &mut 0, 0, &sent);
    assert!(packets.len() >= 5 && packets.len() <= 8, "{}", packets.len());
    let (received, ranges) = read_back(&packets);
    assert_eq!(received.len(), 3000);
    let covered: u32 = ranges.iter().map(|(_, count)| u32::from(*count)).sum();
    assert_eq!(covered, 5999);
}

#[test]
fn transport_feedback_leaves_a_jump_of_the_numbers_unreported() {
    let sent = arrivals(&[(1, 0), (20_000, 250), (20_001, 500)]);
    let (received, ranges) = read_back(&build_twcc(1, 2, &mut 0, 1, &sent));
    assert_eq!(received.len(), 3);
    assert_eq!(ranges, [(1, 1), (20_000, 2)]);
}

#[test]
fn transport_feedback_claiming_65535_lost_packets_is_one_step() {
    let head = [0x8F, 205, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0];
    let chunks = [0x1F, 0xFF].repeat(10);
    let bytes = [&head[..], &chunks].concat();
    assert_eq!(parsed!(Twcc, &bytes).received().count(), 0);
    // Seven statuses short.
    let bytes = [&head[..3], &[8], &head[4..], &chunks[..16]].concat();
    assert!(Compound::new(&bytes).next().unwrap().is_err());
}

#[test]
fn malformed_transport_feedback_is_refused() {
    let packet = |count: u8, rest: &[u8]| {
        let mut bytes = vec![0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, count, 0, 0, 2, 9];
        bytes.extend(rest);
        bytes[3] = (bytes.len() / 4 - 1) as u8;
        Compound::new(&bytes).next().unwrap().map(|_| ()).map_err(ParseError::format)
    };
    assert_eq!(packet(0, &[0x20, 1, 0, 0]), Err(Format::Twcc), "no statuses");
    assert_eq!(packet(3, &[0x20, 3, 0, 0]), Err(Format::Twcc), "a delta short");
    assert_eq!(packet(2, &[0x20, 2, 0, 0]), Ok(()));
    assert_eq!(packet(1, &[0x60, 1, 0, 0]), Err(Format::Twcc), "reserved symbol in a run");
    assert_eq!(packet(1, &[0xF0, 0, 0, 0]), Err(Format::Twcc), "reserved symbol in a vector");
    assert_eq!(packet(9, &[]), Err(Format::Twcc), "no chunk");
    assert_eq!(packet(1, &[0x20, 0, 0x20, 0]), Err(Format::Twcc), "only empty runs");
    assert_eq!(packet(1, &[0x20, 0, 0x20, 1, 7, 0, 0, 0]), Ok(()));
}

#[test]
fn truncation_at_each_length_never_panics() {
    let twcc =
        build_twcc(1, 2, &mut 0, 0, &arrivals(&[(1, 0), (2, 90_000), (40, 90_250)])).concat();
    let xr = written(|out| write_rrtr(out, 1, NtpTime(3)));
    let fir = written(|out| write_fir(out, 1, FirEntry { media_ssrc: 2, sequence: 3 }));
    for sample in [SR, RR, SDES, BYE, NACK, PLI, REMB, &twcc, &xr, &fir] {
        for len in 1..sample.len() {
            assert!(Compound::new(&sample[..len]).next().unwrap().is_err());
            // Also with a header that claims no more than is there: the body is then cut.
            let mut cut = sample[..len / 4 * 4].to_vec();
            if let Some(words) = cut.get_mut(3) {
                *words = (len / 4 - 1) as u8;
                Compound::new(&cut).for_each(drop);
            }
        }
    }
}

#[test]
fn transport_feedback_crosses_the_wrap_of_its_reference_time() {
    let wrap_us = (1i64 << 24) * 64_000;
    // Forward over the wrap within one packet, back before it, and forward again.
    let times = [-1_000, 1_000, -500, 70_000].map(|offset_us| wrap_us + offset_us);
    let sent: Vec<Arrival> =
        (0u64..).zip(times).map(|(sequence, at_us)| Arrival { sequence, at_us }).collect();
    let packets = build_twcc(1, 2, &mut 0, 0, &sent);
    assert_eq!(packets.len(), 1);
    let (received, _) = read_back(&packets);
    let got: Vec<i64> = received.iter().map(|(_, at_us)| *at_us).collect();
    assert_eq!(got, [wrap_us - 1_000, 1_000, wrap_us - 500, 70_000]);
    // A report that begins after the wrap and goes back before it.
    let (received, _) = read_back(&build_twcc(1, 2, &mut 0, 1, &sent[1..]));
    assert_eq!(received[1].1, wrap_us - 500);
    // For who compares them they go on.
    let mut clock = ArrivalClock::default();
    let unwrapped: Vec<i64> = got.iter().map(|at_us| clock.unwrap(*at_us)).collect();
    assert_eq!(unwrapped, times);
    assert_eq!(clock.unwrap(80_000), wrap_us + 80_000, "the next report");
    for lap in 2..5 {
        for at_us in [wrap_us / 3, 2 * wrap_us / 3, 7] {
            let laps = lap - i64::from(at_us > 7);
            assert_eq!(clock.unwrap(at_us), laps * wrap_us + at_us);
        }
    }
}

proptest! {
    #[test]
    fn report_blocks_round_trip(
        ssrc: u32, fraction_lost: u8, cumulative_lost in -0x80_0000..0x80_0000,
        highest_sequence: u32, jitter: u32, last_sr: u32, delay_since_last_sr: u32,
    ) {
        let block = ReportBlock {
            ssrc, fraction_lost, cumulative_lost, highest_sequence, jitter, last_sr,
            delay_since_last_sr,
        };
        let bytes = written(|out| write_rr(out, 1, &[block]));
        prop_assert_eq!(parsed!(ReceiverReport, &bytes).reports.next(), Some(block));
    }

    #[test]
    fn nacks_round_trip(start: u16, gaps in proptest::collection::vec(1u16..40, 1..100)) {
        let missing: Vec<u16> = gaps
            .iter()
            .scan(start, |at, gap| { *at = at.wrapping_add(*gap); Some(*at) })
            .collect();
        let mut named = Vec::new();
        let mut left = &missing[..];
        while !left.is_empty() {
            let mut taken = 0;
            let bytes = written(|out| taken = write_nack(out, 1, 2, left, 10));
            prop_assert!(taken > 0 && bytes.len() <= 12 + 10 * 4);
            named.extend(parsed!(Nack, &bytes).sequences());
            left = &left[taken..];
        }
        prop_assert_eq!(named, missing);
    }

    #[test]
    fn estimates_round_down_to_18_bits(bps: u64) {
        let bytes = written(|out| write_remb(out, 1, Bitrate::bps(bps), &[]));
        let back = parsed!(Remb, &bytes).bitrate.as_bps();
        prop_assert!(back <= bps && bps - back <= bps >> 17);
    }

    #[test]
    fn transport_feedback_round_trips(
        base in 0u64..1 << 40,
        start_us in 0i64..1 << 40,
        steps in proptest::collection::vec((1u64..30, -20_000i64..200_000), 1..2000),
    ) {
        let mut sequence = base;
        let mut at_us = start_us + 100_000_000;
        let sent: Vec<Arrival> = steps
            .iter()
            .map(|(gap, step_us)| {
                sequence += gap;
                at_us += step_us;
                Arrival { sequence, at_us }
            })
            .collect();
        let (received, ranges) = read_back(&build_twcc(1, 2, &mut 0, base, &sent));
        prop_assert_eq!(received.len(), sent.len());
        let wrap_us = (1i64 << 24) * 64_000;
        for (got, arrival) in received.iter().zip(&sent) {
            prop_assert_eq!(got.0, arrival.sequence as u16);
            prop_assert_eq!(got.1, arrival.at_us / 250 * 250 % wrap_us);
        }
        let covered: u64 = ranges.iter().map(|(_, count)| u64::from(*count)).sum();
        prop_assert_eq!(base + covered, sequence + 1);
    }
}
