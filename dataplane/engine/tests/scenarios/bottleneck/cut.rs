//! A bottleneck comes and goes.

use std::time::Duration;

use super::{Call, MS, S};

/// Each way between publisher and server, with half of what a browser takes to encode.
const PUBLISHER_DELAY: Duration = Duration::from_millis(25);

/// 20 s of 2 Mbit/s, 20 s of 300 kbit/s, 25 s of 2 Mbit/s; with the times of both changes.
fn cut_and_back(link: &str, seed: u64) -> (Call, Duration, Duration) {
    let mut call = Call::over(&format!("rate=2000000 delay_ms=25 {link}"), seed);
    call.run(20 * S);
    assert_eq!(call.trace.last().unwrap().layer, Some(2), "seed {seed}: {:?}", call.allocations());
    let closed = call.change("rate=300000");
    call.run(20 * S);
    let opened = call.change("rate=2000000");
    call.run(25 * S);
    (call, closed, opened)
}

/// What must hold whatever the queue.
fn assert_calm(call: &Call, closed: Duration, opened: Duration) {
    let seen = format!("{:?}", call.allocations());
    let end = opened + 25 * S;
    // The larger picture goes at once; the smaller one comes when the path has room for it.
    let large = call.between(closed, opened).filter(|point| point.layer == Some(2)).last();
    let gone = large.map_or(Duration::ZERO, |point| point.at - closed);
    assert!(gone <= S, "larger picture for {gone:?} more; {seen}");
    assert_eq!(call.trace.iter().rfind(|p| p.at <= opened).unwrap().layer, Some(0), "{seen}");
    let queue = call.longest_queue(closed + 2 * S, closed + 6 * S);
    assert!(queue < 150 * MS, "queue of {queue:?} after two seconds; {seen}");
    let up = call.reached(2, opened);
    assert!(up <= 15 * S, "top layer after {up:?}; {seen}");
    for (from, to) in [(8 * S, closed), (closed + 5 * S, opened), (opened + 12 * S, end)] {
        let most = (to - from).as_secs().div_ceil(10) as usize;
        assert!(call.switches(from, to) <= most, "{from:?} to {to:?}: {seen}");
    }
    let (lost, gap) = call.voice(closed, end);
    assert!(lost < 0.002, "{lost} of the voice lost");
    assert!(gap < 250 * MS, "{gap:?} without a voice");
}

#[test]
fn promise_11_layers_follow_a_bottleneck_that_comes_and_goes() {
    let links = ["queue_ms=300", "queue_ms=300", "queue_ms=1000", "queue_ms=200"];
    for (link, seed) in links.into_iter().zip(501..) {
        let (call, closed, opened) = cut_and_back(link, seed);
        assert_calm(&call, closed, opened);
        let freeze = call.longest_freeze(closed, opened);
        assert!(freeze < 500 * MS, "frozen for {freeze:?}: {:?}", call.allocations());
        let freeze = call.longest_freeze(opened, opened + 25 * S);
        assert!(freeze < 500 * MS, "frozen for {freeze:?} on the way up");
    }
}

/// The moment of the cut moves from frame to frame, and so does what is lost of them.
#[test]
fn promise_11_no_queue_freezes_the_picture_for_half_a_second() {
    for (queue_ms, seed) in
        [200, 300, 500, 1000].into_iter().flat_map(|q| (900..908).map(move |s| (q, s)))
    {
        let link = format!("rate=2000000 delay_ms=25 queue_ms={queue_ms}");
        // A keyframe comes a round trip, the time of encoding and up to one frame after its request.
        let mut call = Call::with_delay(&link, seed, PUBLISHER_DELAY);
        call.run(15 * S + MS * (seed as u32 * 113 % 1000));
        let calm = |call: &Call| call.trace.iter().rev().take(50).all(|p| p.layer == Some(2));
        while !calm(&call) {
            assert!(call.sim.now < call.sim.start + 40 * S, "{:?}", call.allocations());
            call.run(S);
        }
        let closed = call.change("rate=300000");
        call.run(5 * S);
        let seen = format!("queue of {queue_ms} ms, seed {seed}: {:?}", call.allocations());
        let freeze = call.longest_freeze(closed, closed + 5 * S);
        assert!(freeze < 500 * MS, "frozen for {freeze:?}; {seen}");
        let queue = call.longest_queue(closed + 2 * S, closed + 5 * S);
        assert!(queue < 150 * MS, "queue of {queue:?} after two seconds; {seen}");
        let (lost, gap) = call.voice(closed, closed + 5 * S);
        assert!(lost < 0.01 && gap < 250 * MS, "{lost} lost, {gap:?} without a voice; {seen}");
    }
}

#[test]
fn promise_07_a_cut_to_200_kbit_drops_old_packets_and_spares_the_voice() {
    let mut call = Call::over("rate=1500000 queue_ms=1000 delay_ms=25", 511);
    call.run(15 * S);
    let closed = call.change("rate=200000");
    call.run(15 * S);
    let queue = call.longest_queue(closed + 2 * S, closed + 15 * S);
    assert!(queue < 150 * MS, "queue of {queue:?}: {:?}", call.allocations());
    let (lost, gap) = call.voice(closed, closed + 15 * S);
    assert!(lost < 0.002 && gap < 250 * MS, "{lost} lost, {gap:?} without");
}

#[test]
fn promise_09_the_estimate_falls_before_anything_is_lost_in_a_deep_queue() {
    let mut call = Call::over("rate=2000000 queue_ms=3000 delay_ms=25", 512);
    call.run(15 * S);
    let before = *call.trace.last().unwrap();
    let closed = call.change("rate=300000");
    call.run(5 * S);
    let fell = call.between(closed, closed + 5 * S).find(|point| point.estimate_bps < 350_000.0);
    let fell = fell.unwrap();
    assert!(fell.at - closed < 500 * MS, "fell after {:?}", fell.at - closed);
    assert_eq!(fell.lost, before.lost, "nothing was lost until then");
    assert_eq!(call.trace.last().unwrap().lost, before.lost, "nor later");
}

#[test]
fn promise_10_pictures_get_smaller_step_by_step_without_a_freeze() {
    let mut call = Call::over("rate=2500000 queue_ms=400 delay_ms=25", 513);
    call.run(15 * S);
    for (rate, layer) in [(900_000, 1), (300_000, 0)] {
        let closed = call.change(&format!("rate={rate}"));
        call.run(15 * S);
        let seen = format!("{:?}", call.allocations());
        assert_eq!(call.trace.last().unwrap().layer, Some(layer), "{rate}: {seen}");
        let freeze = call.longest_freeze(closed, closed + 15 * S);
        assert!(freeze < 500 * MS, "{rate}: frozen for {freeze:?}; {seen}");
    }
}

#[test]
fn any_round_trip_is_borne() {
    for (delay_ms, seed) in [(10, 521), (100, 522), (200, 523)] {
        let mut call = Call::over(&format!("rate=3000000 queue_ms=300 delay_ms={delay_ms}"), seed);
        call.run(15 * S);
        let closed = call.change("rate=500000");
        call.run(15 * S);
        let opened = call.change("rate=3000000");
        call.run(20 * S);
        let seen = format!("{delay_ms} ms: {:?}", call.allocations());
        let large = call.between(closed + 2 * S, opened).any(|point| point.layer == Some(2));
        assert!(!large, "{seen}");
        let up = call.reached(2, opened);
        assert!(up < 20 * S, "{up:?}; {seen}");
    }
}
