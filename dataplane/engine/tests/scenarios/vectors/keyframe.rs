//! Keyframes that come in pieces.

use std::time::Duration;

use super::stage::{Film, Stage, places, source};

#[test]
fn a_keyframe_whose_first_packet_is_late_is_sent_from_its_first_packet_on() {
    let mut stage = Stage::new(611, 1);
    let mut film = Film::new(0);
    let key = film.picture(true, 4);
    for at in [1, 2, 0, 3] {
        stage.send(&key[at]);
    }
    stage.send_all(&film.picture(false, 2));
    let (media, _) = stage.see();
    assert_eq!(media.iter().map(source).collect::<Vec<_>>(), (1000..1006).collect::<Vec<_>>());
    assert_eq!(places(&media), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_keyframe_without_its_first_packet_starts_nothing_and_another_is_asked_for() {
    let mut stage = Stage::new(612, 1);
    let mut film = Film::new(0);
    // Before the first packet nobody knows whom to ask.
    stage.send_all(&film.picture(false, 2));
    stage.sim.run_ms(100);
    stage.asked();
    let mut requests = 0;
    for _ in 0..4 {
        stage.send_all(&film.picture(true, 4)[1..]);
        stage.send_all(&film.picture(false, 2));
        stage.sim.run_ms(500);
        assert_eq!(stage.seen(), (vec![], vec![]));
        requests += stage.asked().1;
    }
    assert!((3..=5).contains(&requests), "{requests} in two seconds");
    stage.send_all(&film.picture(true, 4));
    assert_eq!(stage.see().0.len(), 4);
}

/// The way from the server takes 50 ms, the way to it none.
const RTT: Duration = Duration::from_millis(50);

#[test]
fn the_40th_of_80_packets_is_repaired_in_a_round_trip_without_a_keyframe_request() {
    // Lost on the way in, and on the way out.
    for on_the_way_in in [true, false] {
        let mut stage = Stage::new(613, 1);
        stage.sim.network.conditions.delay = RTT;
        let mut film = Film::new(0);
        stage.send_all(&film.picture(true, 2));
        for _ in 0..20 {
            stage.sim.run_ms(33);
            stage.send_all(&film.picture(false, 2));
        }
        stage.sim.run_ms(2 * 50);
        let before = stage.seen().0.last().unwrap().sequence;
        stage.asked();
        stage.sim.run_ms(3);
        let sent_at = stage.sim.now;
        let key = film.picture(true, 84);
        let lost = &key[39];
        let lost_number = before + 40;
        for packet in key.iter().filter(|packet| !on_the_way_in || packet.seq != lost.seq) {
            stage.send(packet);
        }
        let (mut whole_at, mut have, mut requests, mut repairs) = (None, 0, 0, 0);
        for _ in 0..100 {
            stage.sim.run_ms(2);
            let (asked, keyframes) = stage.asked();
            requests += keyframes;
            if asked.contains(&(lost.seq as u16)) {
                let number = (lost.seq as u16).to_be_bytes();
                stage.send_rtx(20 + repairs, [&number[..], &lost.payload].concat());
                repairs += 1;
            }
            let (media, again) = stage.seen();
            if !on_the_way_in && media.iter().any(|seen| seen.sequence == lost_number) {
                have -= 1;
                stage.nack(&[lost_number]);
                repairs += 1;
            }
            have += media.len() as i32 + again.len() as i32;
            if have == 84 && whole_at.is_none() {
                whole_at = Some(stage.sim.now);
            }
        }
        // The keyframe itself needs the way to the viewer.
        assert_eq!((have, repairs), (84, 1), "in: {on_the_way_in}");
        let took = whole_at.unwrap() - sent_at - RTT;
        assert!(took <= RTT * 3 / 2, "in: {on_the_way_in}, {took:?}");
        assert_eq!(requests, 0, "in: {on_the_way_in}");
        let asked = stage.sim.nodes[0].engine.stats(stage.sim.now);
        assert_eq!(asked.total("slots", "keyframe_requests"), 0);
    }
}
