//! Losses that have nothing to do with what is sent.

use super::{Call, MS, S};

#[test]
fn video_does_not_freeze_under_five_percent_loss_a_long_round_trip_and_jitter() {
    for seed in 552..560 {
        // A round trip of 100 ms: 60 here with the jitter's mean, 10 back, and 15 for feedback.
        let mut call = Call::over("loss=0.05 delay_ms=45 jitter_ms=30 reorder=1", seed);
        call.run(40 * S);
        let seen = format!("seed {seed}: {:?}", call.allocations());
        let freeze = call.longest_freeze(5 * S, 40 * S);
        assert!(freeze < 500 * MS, "frozen for {freeze:?}; {seen}");
        assert!(call.switches(5 * S, 40 * S) <= 4, "{seen}");
        assert!(call.trace.last().unwrap().layer >= Some(1), "{seen}");
    }
}

#[test]
fn a_lossy_link_of_3_mbit_is_used_for_the_top_layer() {
    let mut call = Call::over("rate=3000000 queue_ms=300 loss=0.05 delay_ms=25", 553);
    call.run(40 * S);
    let top = call.between(10 * S, 40 * S).filter(|point| point.layer == Some(2)).count();
    let share = top as f64 / call.between(10 * S, 40 * S).count() as f64;
    assert!(share > 0.7, "top layer for {share} of the time: {:?}", call.allocations());
}
