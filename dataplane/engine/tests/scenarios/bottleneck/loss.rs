//! Losses that have nothing to do with what is sent.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Call, MS, S};

/// A round trip of 100 ms: 60 down with the jitter's mean, 10 or 15 up, and what feedback takes.
const LOSSY: &str = "loss=0.05 delay_ms=45 jitter_ms=30 reorder=1";
const CALLS: usize = 24;

/// What was seen of many calls, each with losses and jitter of its own.
struct Seen {
    /// Longest freeze of each, ascending.
    freezes: Vec<Duration>,
    /// Part of the time with the largest picture, and with none.
    top: f64,
    paused: f64,
    switches: usize,
    text: String,
}

fn calls(up: Option<&str>) -> Seen {
    let (mut freezes, mut points, mut top, mut paused) = (Vec::new(), 0_usize, 0, 0);
    let (mut switches, mut text) = (0, String::new());
    for seed in (500..).take(CALLS) {
        let mut call = Call::over(LOSSY, seed);
        if let Some(up) = up {
            call.sim.network.lanes.clear();
            call.sim.network.narrow_both(call.address, up, LOSSY);
        }
        call.run(40 * S);
        let freeze = call.longest_freeze(5 * S, 40 * S);
        let _ = write!(text, "\n{seed}: {freeze:?}");
        freezes.push(freeze);
        switches = switches.max(call.switches(5 * S, 40 * S));
        for point in call.between(5 * S, 40 * S) {
            points += 1;
            top += usize::from(point.layer == Some(2));
            paused += usize::from(point.layer.is_none());
        }
    }
    freezes.sort_unstable();
    let share = |count: usize| count as f64 / points as f64;
    Seen { freezes, top: share(top), paused: share(paused), switches, text }
}

#[test]
fn video_does_not_freeze_under_five_percent_loss_a_long_round_trip_and_jitter() {
    let Seen { freezes, top, paused, switches, text } = calls(None);
    // Once in some hundred calls a packet is lost with all that was sent again of it.
    let long = freezes.iter().filter(|freeze| **freeze >= 500 * MS).count();
    assert!(long <= 1 && freezes[CALLS - 1] < S, "{long} freezes of half a second{text}");
    assert!(freezes[CALLS / 2] < 350 * MS, "{:?} in half of the calls{text}", freezes[CALLS / 2]);
    assert!(
        top > 0.85,
        "the path takes the largest picture, which was there for {top} of the time"
    );
    assert!(paused < 0.01 && switches <= 4, "paused {paused}, {switches} switches");
}

#[test]
fn what_asks_for_repair_may_be_lost_as_well() {
    let Seen { freezes, top, paused, text, .. } = calls(Some("loss=0.05 delay_ms=5"));
    let long = freezes.iter().filter(|freeze| **freeze >= 500 * MS).count();
    assert!(long <= 4 && freezes[CALLS - 1] < 2 * S, "{long} freezes of half a second{text}");
    assert!(freezes[CALLS / 2] < 400 * MS, "{:?} in half of the calls{text}", freezes[CALLS / 2]);
    assert!(top > 0.7 && paused < 0.02, "top {top}, paused {paused}");
}

#[test]
fn a_lossy_link_of_3_mbit_is_used_for_the_top_layer() {
    let mut call = Call::over("rate=3000000 queue_ms=300 loss=0.05 delay_ms=25", 553);
    call.run(40 * S);
    let top = call.between(10 * S, 40 * S).filter(|point| point.layer == Some(2)).count();
    let share = top as f64 / call.between(10 * S, 40 * S).count() as f64;
    assert!(share > 0.7, "top layer for {share} of the time: {:?}", call.allocations());
}
