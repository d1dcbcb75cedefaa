//! Reports that cannot be right, and packets that prove nothing.

use std::collections::BTreeSet;

use airside_engine::error::DropReason;
use airside_engine::rtcp::{self, Compound, ReportBlock, Rtcp};
use airside_engine::stats::Values;

use super::stage::{Film, SSRC, Stage};

fn measured(stage: &Stage, table: &str, name: &str) -> Vec<f64> {
    let stats = stage.sim.nodes[0].engine.stats(stage.sim.now);
    match stats.column(table, name) {
        Some(Values::F64(values)) => values.clone(),
        Some(Values::U64(values)) => values.iter().map(|value| *value as f64).collect(),
        None => panic!("no column {name}"),
    }
}

#[test]
fn receiver_reports_that_cannot_be_right_measure_nothing() {
    let mut stage = Stage::new(621, 1);
    let mut film = Film::new(0);
    stage.send_all(&film.picture(true, 2));
    // Until there are sender reports to name.
    for _ in 0..40 {
        stage.sim.run_ms(33);
        stage.send_all(&film.picture(false, 2));
    }
    let (_, reports) = stage.viewer.hear(&mut stage.sim);
    let last_sr = reports.iter().flat_map(|compound| Compound::new(compound)).flatten().fold(
        0,
        |last, packet| match packet {
            Rtcp::SenderReport(report) => report.info.ntp.middle(),
            _ => last,
        },
    );
    assert_ne!(last_sr, 0);
    let good = ReportBlock { ssrc: SSRC, highest_sequence: 1080, ..ReportBlock::default() };
    let rows = [
        ("no report seen", ReportBlock { last_sr: 0, delay_since_last_sr: 0, ..good }),
        ("one that was never sent", ReportBlock { last_sr: last_sr ^ 0x5555, ..good }),
        ("held for longer", ReportBlock { last_sr, delay_since_last_sr: 60 << 16, ..good }),
        ("held for ever", ReportBlock { last_sr, delay_since_last_sr: u32::MAX, ..good }),
        ("fewer lost than none", ReportBlock { cumulative_lost: -0x80_0000, ..good }),
        ("more lost than sent", ReportBlock { cumulative_lost: 0x7F_FFFF, ..good }),
        ("cycles of another stream", ReportBlock { highest_sequence: 0xFFFF_0005, ..good }),
        ("and back", ReportBlock { highest_sequence: 5, ..good }),
        ("endless jitter", ReportBlock { jitter: u32::MAX, ..good }),
    ];
    for (name, block) in rows {
        let mut report = Vec::new();
        rtcp::write_rr(&mut report, 1, &[block]);
        let report = stage.viewer.rtcp(&report);
        stage.viewer.send(&mut stage.sim, &report);
        let rtt = measured(&stage, "transports", "rtt_s");
        assert!(rtt.iter().all(|rtt| rtt.is_nan()), "{name}: {rtt:?}");
        let (lost, sent) =
            (measured(&stage, "slots", "lost"), measured(&stage, "slots", "expected"));
        assert!(lost[0] <= sent[0], "{name}: {} of {}", lost[0], sent[0]);
        assert!(sent[0] <= 100_000.0, "{name}: {}", sent[0]);
    }
    // One that is right, after all of them.
    let mut report = Vec::new();
    rtcp::write_rr(&mut report, 1, &[ReportBlock { last_sr, ..good }]);
    let report = stage.viewer.rtcp(&report);
    stage.viewer.send(&mut stage.sim, &report);
    let rtt = measured(&stage, "transports", "rtt_s");
    assert!(rtt.iter().any(|rtt| (0.0..3.0).contains(rtt)), "{rtt:?}");
}

#[test]
fn transport_feedback_counts_nothing_forged_and_nothing_twice() {
    let mut stage = Stage::new(622, 1);
    let mut film = Film::new(0);
    stage.transport_cc = 65_530;
    let mut good = BTreeSet::new();
    let mut order: Vec<(u16, Vec<u8>)> = Vec::new();
    for at in 0..40 {
        let number = stage.transport_cc;
        let sent = film.picture(at == 0, 1)[0].clone();
        let mut datagram = stage.protect(5, 96, &sent);
        if at % 4 == 3 {
            *datagram.last_mut().unwrap() ^= 1;
        } else {
            good.insert(number);
        }
        order.push((number, datagram));
    }
    // Pairs change places, and every fifth comes twice.
    order.chunks_mut(2).skip(1).for_each(<[_]>::reverse);
    for (at, (_, datagram)) in order.iter().enumerate() {
        stage.publisher.send(&mut stage.sim, datagram);
        if at % 5 == 0 {
            stage.publisher.send(&mut stage.sim, datagram);
        }
        stage.sim.run_ms(5);
    }
    stage.sim.run_ms(300);
    let (_, reports) = stage.publisher.hear(&mut stage.sim);
    let mut told = BTreeSet::new();
    for packet in reports.iter().flat_map(|compound| Compound::new(compound)).flatten() {
        if let Rtcp::Twcc(feedback) = packet {
            told.extend(feedback.received().map(|(number, _)| number));
        }
    }
    assert_eq!(told, good);
    assert!(stage.sim.dropped(0, DropReason::SrtpAuthFailed) >= 10);
    assert!(stage.sim.dropped(0, DropReason::SrtpReplayed) >= 5);
}
