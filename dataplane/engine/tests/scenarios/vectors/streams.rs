//! Long lives: numbers that wrap, subscriptions that come and go.

use airside_engine::command::{Command, MediaKind};

use super::stage::{Film, Stage, source};
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
