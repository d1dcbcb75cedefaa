//! What must hold on a bad network: the numbers of the promises, over several seeds.

use super::*;

const S: Duration = Duration::from_secs(1);
const SEEDS: std::ops::Range<u32> = 1..6;

/// 20 s of 2 Mbit/s, 30 s of 300 kbit/s, 40 s of 2 Mbit/s.
fn cut_and_back(path: &str, seed: u32) -> Sim {
    let mut sim = Sim::new(&format!("rate=2000000 {path}"), seed);
    sim.run(20.0);
    assert_eq!(sim.spatial(), Some(2), "seed {seed}");
    sim.change_path("rate=300000");
    sim.run(30.0);
    assert_eq!(sim.spatial(), Some(0), "seed {seed}");
    sim.change_path("rate=2000000");
    sim.run(40.0);
    assert_eq!(sim.spatial(), Some(2), "seed {seed}");
    sim
}

#[test]
fn a_bottleneck_comes_and_goes() {
    for queue_ms in [200, 300] {
        for seed in SEEDS {
            let sim = cut_and_back(&format!("queue_ms={queue_ms}"), seed);
            let seen = format!("queue {queue_ms} ms, seed {seed}: {:?}", sim.switches);
            let down = sim.first(20 * S, Some(0)).unwrap();
            assert!(down <= 21 * S, "smaller picture within a second; {seen}");
            let full = sim.last_queue_over(150 * MS, 20 * S, 50 * S).unwrap();
            assert!(full <= 22 * S, "queue gone after {full:?}; {seen}");
            // From the first lost frame to the keyframe: 300 ms to notice, 75 to ask, 10 kB of
            // keyframe behind 200 ms of queue at 300 kbit/s.
            let freeze = sim.longest_freeze(20 * S, 50 * S);
            assert!(freeze <= 900 * MS, "frozen for {freeze:?}; {seen}");
            let back = sim.first(50 * S, Some(2)).unwrap();
            assert!(back <= 65 * S, "top picture back within 15 s; {seen}");
            let freeze = sim.longest_freeze(50 * S, 90 * S);
            assert!(freeze <= 500 * MS, "frozen for {freeze:?} on the way up; {seen}");
        }
    }
}

#[test]
fn at_rest_there_is_one_switch_in_ten_seconds_at_most() {
    for seed in SEEDS {
        let sim = cut_and_back("queue_ms=300", seed);
        let rest = sim.switches_between(8 * S, 20 * S);
        let low = sim.switches_between(25 * S, 50 * S);
        let high = sim.switches_between(65 * S, 90 * S);
        assert!(rest <= 1 && low <= 2 && high <= 2, "seed {seed}: {:?}", sim.switches);
    }
}

#[test]
fn audio_is_never_kept_back() {
    for seed in SEEDS {
        let sim = cut_and_back("queue_ms=300", seed);
        assert_eq!(sim.audio_dropped, 0);
        let lost = sim.audio_sent - sim.receiver.audio;
        assert!(lost <= 8, "seed {seed}: {lost} lost in the path's full queue");
    }
}

#[test]
fn a_deep_queue_is_drained_in_two_seconds() {
    for queue_ms in [600, 1000] {
        for seed in SEEDS {
            let sim = cut_and_back(&format!("queue_ms={queue_ms}"), seed);
            let seen = format!("queue {queue_ms} ms, seed {seed}: {:?}", sim.switches);
            assert!(sim.first(20 * S, Some(0)).unwrap() <= 21 * S, "{seen}");
            let full = sim.last_queue_over(150 * MS, 20 * S, 50 * S).unwrap();
            assert!(full <= 22 * S, "queue gone after {full:?}; {seen}");
            let back = sim.first(50 * S, Some(2)).unwrap();
            assert!(back <= 65 * S, "top picture back within 15 s; {seen}");
        }
    }
}

#[test]
fn a_long_round_trip_changes_little() {
    for seed in SEEDS {
        let sim = cut_and_back("queue_ms=300 delay_ms=75", seed);
        let seen = format!("seed {seed}: {:?}", sim.switches);
        assert!(sim.first(20 * S, Some(0)).unwrap() <= 21 * S, "{seen}");
        assert!(sim.last_queue_over(150 * MS, 20 * S, 50 * S).unwrap() <= 22 * S, "{seen}");
        assert!(sim.first(50 * S, Some(2)).unwrap() <= 65 * S, "{seen}");
    }
}

#[test]
fn any_rate_is_used_calmly() {
    for kbps in [150, 200, 250, 300, 450, 600, 700, 900, 1200, 1600, 1800, 2000, 2500, 5000] {
        let mut sim = Sim::new(&format!("rate={kbps}000 queue_ms=300"), 3);
        sim.run(60.0);
        let seen = format!("{kbps} kbit/s: {:?}", sim.switches);
        assert!(sim.switches_between(20 * S, 60 * S) <= 4, "{seen}");
        let late = |at: &Duration| *at > 10 * S;
        let mut queues: Vec<Duration> =
            sim.trace.iter().filter(|(at, _, _)| late(at)).map(|(_, _, queue)| *queue).collect();
        queues.sort_unstable();
        let p95 = queues[queues.len() * 95 / 100];
        assert!(p95 <= 200 * MS, "queue {p95:?}; {seen}");
        let best = match kbps {
            0..200 => None,
            200..450 => Some(0),
            450..1200 => Some(1),
            _ => Some(2),
        };
        assert_eq!(sim.spatial(), best, "{seen}");
    }
}
