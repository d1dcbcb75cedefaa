//! Long lives: numbers that wrap, subscriptions that come and go.

use std::collections::BTreeMap;
use std::time::Duration;

use airside_engine::command::{Command, MediaKind};
use airside_engine::rtcp::{self, Compound, ReportBlock, Rtcp, SenderInfo};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::stage::{Film, SSRC, Stage, source};
use crate::sim::{Sim, wish};

/// Sequence numbers, timestamps, picture ids and transport-wide numbers on both sides wrap, each at
/// another moment, with losses and pairs out of order around each.
#[test]
fn every_number_wraps_without_a_trace() {
    const PICTURES: u64 = 36_000;
    let mut stage = Stage::new(651, 1);
    let mut film = Film::new(0);
    film.stream.seq = 64_536;
    film.stream.timestamp = u32::MAX - 1000 * 3000;
    film.picture = 31_767;
    stage.transport_cc = 64_036;
    let (first_source, first_timestamp) = (film.stream.seq, film.stream.timestamp);
    let mut line: Option<(u64, u32)> = None;
    let (mut newest_out, mut received, mut lost) = (0u64, 0u64, 0u64);
    let mut last_picture = None;
    for picture in 0..PICTURES {
        let mut packets = film.picture(picture % 100 == 0, 2);
        if picture % 7 == 3 {
            packets.swap(0, 1);
        }
        if picture % 50 == 49 {
            packets.truncate(1);
            lost += 1;
        }
        stage.send_all(&packets);
        if picture % 20 != 19 {
            continue;
        }
        stage.viewer_lives();
        stage.sim.run_ms(11);
        let (media, _) = stage.seen();
        received += media.len() as u64;
        for seen in &media {
            // The nearest number: what a receiver makes of it.
            let ahead = seen.sequence.wrapping_sub(newest_out as u16).cast_signed();
            let out = if line.is_none() {
                u64::from(seen.sequence)
            } else {
                newest_out.checked_add_signed(ahead.into()).unwrap()
            };
            newest_out = newest_out.max(out);
            let place = (source(seen) - first_source).wrapping_sub(out);
            let time = ((source(seen) - first_source) / 2) as u32;
            let shift = seen.timestamp.wrapping_sub(time.wrapping_mul(3000));
            let (at, base) = *line.get_or_insert((place, shift));
            assert_eq!((place, shift), (at, base), "packet {}", source(seen));
            let id = u16::from_be_bytes([seen.payload[2] & 0x7f, seen.payload[3]]);
            let expected = (31_768 + time) % 32_768;
            assert_eq!(u32::from(id), expected, "picture ids too");
            last_picture = Some(id);
        }
    }
    assert_eq!(received, 2 * PICTURES - lost);
    assert_eq!(line.map(|(_, base)| base), Some(first_timestamp));
    assert!(newest_out > 65_536 + 1000, "{newest_out}: the viewer's numbers wrapped as well");
    assert_eq!(last_picture, Some(((31_768 + PICTURES - 1) % 32_768) as u16));
}

#[test]
fn ten_thousand_subscriptions_leave_a_transport_as_it_was() {
    let mut sim = Sim::new(652, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let microphone = sim.publish_audio(alice);
    let kept = sim.add_slot(bob, MediaKind::Audio);
    let table = |sim: &Sim| {
        let stats = sim.nodes[0].engine.stats(sim.now);
        ["transports", "tracks", "slots", "addresses"].map(|name| stats.total("worker", name))
    };
    sim.run_ms(100);
    let before = table(&sim);
    let (track, wish) = (microphone.track, wish(720));
    for round in 0..10_000u64 {
        // Nine of ten on one slot, as transceivers are used again; the rest on one of their own.
        let own = round % 10 == 0;
        let slot = if own { sim.add_slot(bob, MediaKind::Audio).slot } else { kept.slot };
        sim.command(0, Command::Subscribe { slot, track, wish });
        if round % 5 == 0 {
            sim.run_ms(20);
        }
        if own {
            sim.command(0, Command::RemoveSlot { slot });
        } else {
            sim.command(0, Command::Unsubscribe { slot });
        }
    }
    sim.run_ms(100);
    assert_eq!(table(&sim), before);
    assert_eq!(sim.failures(), Vec::<String>::new());
    // The one that was used again goes on where it was.
    sim.take_received(kept);
    sim.command(0, Command::Subscribe { slot: kept.slot, track, wish });
    sim.run_ms(1000);
    let packets = sim.received(kept);
    assert!(packets.len() >= 45, "{}", packets.len());
    assert!(packets.windows(2).all(|pair| pair[1].ext_seq == pair[0].ext_seq + 1));
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The publisher's wall clock, which is set forth and back by an hour and by five seconds, and runs
/// too fast by 500 parts of a million between.
#[derive(Default)]
struct Clock {
    ahead: Duration,
    steps: usize,
}

impl Clock {
    fn step(&mut self) {
        let step = [HOUR, 5 * SECOND][self.steps / 2 % 2];
        match self.steps % 2 {
            0 => self.ahead += step,
            _ => self.ahead -= step,
        }
        self.steps += 1;
    }
}

/// A picture each 33 ms for so long, with loss and reordering, wall clocks that step and slew, and
/// moments in which this machine gets no CPU.
fn soak(length: Duration) {
    let mut stage = Stage::new(653, 1);
    let mut random = SmallRng::seed_from_u64(653);
    let mut film = Film::new(0);
    let first_source = film.stream.seq;
    // Timestamps of the newest pictures.
    let mut timestamps = BTreeMap::new();
    let (mut clock, mut last_report) = (Clock::default(), None::<SenderInfo>);
    let (mut expected, mut received, mut reports, mut newest) = (0u64, 0u64, 0u64, 0u64);
    let (start, mut place) = (stage.sim.now, None);
    let table = |stage: &Stage| {
        let stats = stage.sim.nodes[0].engine.stats(stage.sim.now);
        ["transports", "tracks", "slots", "addresses"].map(|name| stats.total("worker", name))
    };
    let mut held = None;
    for picture in 0u64.. {
        if stage.sim.now - start >= length {
            break;
        }
        let mut packets = film.picture(picture == 0, 2);
        if random.random_bool(0.02) {
            packets.swap(0, 1);
        }
        if picture > 0 && random.random_bool(0.01) {
            packets.pop();
        }
        expected += packets.len() as u64;
        timestamps.insert(picture, packets[0].timestamp);
        timestamps.retain(|at, _| at + 10 > picture);
        stage.send_all(&packets);
        let pause_ms = if random.random_bool(0.001) { random.random_range(50..700) } else { 33 };
        // Stolen: nobody runs meanwhile, then everything is late.
        if pause_ms > 33 {
            stage.sim.now += Duration::from_millis(pause_ms);
            film.stream.timestamp = film.stream.timestamp.wrapping_add(90 * pause_ms as u32);
        }
        stage.sim.run_ms(33);
        if picture % 30 == 29 {
            clock.ahead += Duration::from_micros(500);
            stage.report_at(clock.ahead, [film.stream.timestamp; 2]);
            let highest_sequence = newest as u32;
            let block = ReportBlock { ssrc: SSRC, highest_sequence, ..ReportBlock::default() };
            let mut report = Vec::new();
            rtcp::write_rr(&mut report, 1, &[block]);
            let report = stage.viewer.rtcp(&report);
            stage.viewer.send(&mut stage.sim, &report);
            stage.publisher.hear(&mut stage.sim);
        }
        if picture % 997 == 996 {
            clock.step();
        }
        let (media, compounds) = stage.viewer.hear(&mut stage.sim);
        for (view, data) in media.iter().filter(|(view, _)| view.ssrc == SSRC) {
            let number = u64::from_be_bytes(*data.last_chunk().unwrap()) - first_source;
            let shift = view.sequence.wrapping_sub(number as u16);
            assert_eq!(*place.get_or_insert(shift), shift, "packet {number}");
            assert_eq!(view.timestamp, timestamps[&(number / 2)], "packet {number}");
            (received, newest) = (received + 1, newest.max(number));
        }
        for packet in compounds.iter().flat_map(|compound| Compound::new(compound)).flatten() {
            let Rtcp::SenderReport(report) = packet else { continue };
            let info = report.info;
            if let Some(last) = last_report {
                assert!(info.ntp.0 >= last.ntp.0, "wall clock goes back");
                let ticks = info.rtp_timestamp.wrapping_sub(last.rtp_timestamp);
                assert!(ticks < 1 << 31, "timestamps go back");
            }
            let behind = film.stream.timestamp.wrapping_sub(info.rtp_timestamp).cast_signed();
            assert!(behind.abs() < 90_000, "{behind} ticks from what is sent");
            (last_report, reports) = (Some(info), reports + 1);
        }
        held = held.or_else(|| (picture == 100).then(|| table(&stage)));
    }
    received += stage.see().0.len() as u64;
    assert_eq!(received, expected);
    assert_eq!(held, Some(table(&stage)), "nothing is left over");
    assert!(reports > length.as_secs() * 3 / 4, "{reports} reports");
    let lost = stage.sim.nodes[0].engine.stats(stage.sim.now).total("layers", "lost");
    assert_eq!(lost, newest + 1 - expected);
}

#[test]
fn ten_minutes_of_stepped_clocks_and_stolen_time_leave_no_trace() {
    soak(600 * SECOND);
}

#[test]
#[ignore = "by hand: half a minute of CPU"]
fn a_day_of_stepped_clocks_and_stolen_time_leaves_no_trace() {
    soak(24 * HOUR);
}
