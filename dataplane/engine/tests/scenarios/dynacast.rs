//! Publishers are told which layers anybody takes: more at once, less late.

use std::time::Duration;

use airside_engine::command::{Command, Target};
use airside_engine::event::Event;
use airside_engine::ids::TapId;

use crate::sim::{Layers, Published, Sim, wish};

/// Longer than the time after which less is asked for, with what a turn takes.
const LATE: Duration = Duration::from_millis(5100);

/// What the publisher was told so far, in order.
fn told(sim: &Sim, published: &Published) -> Vec<Option<u8>> {
    let best = |event: &Event| match event {
        Event::WantedLayers { track, best } if *track == published.track => Some(*best),
        _ => None,
    };
    sim.nodes[published.publisher.worker].events.iter().filter_map(best).collect()
}

#[test]
fn more_is_asked_for_at_once_and_less_after_five_seconds() {
    let mut sim = Sim::new(91, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    sim.run_ms(4000);
    assert_eq!(told(&sim, &camera), []);
    sim.run_ms(1200);
    assert_eq!(told(&sim, &camera), [None], "nobody looks");

    let slot = sim.subscribe(&mut camera, bob);
    sim.run_ms(10);
    assert_eq!(told(&sim, &camera), [None, Some(2)]);
    let asked = |sim: &mut Sim, height_px: u16, wait: Duration| {
        let command = Command::UpdateSubscription { slot: slot.slot, wish: wish(height_px) };
        sim.command(0, command);
        sim.run(wait);
        told(sim, &camera).last().copied()
    };
    assert_eq!(asked(&mut sim, 180, Duration::from_secs(4)), Some(Some(2)));
    assert_eq!(asked(&mut sim, 360, Duration::from_secs(4)), Some(Some(1)), "less for 8 s");
    assert_eq!(asked(&mut sim, 720, Duration::from_millis(10)), Some(Some(2)));
    assert_eq!(asked(&mut sim, 0, LATE), Some(None));
    sim.command(0, Command::RemoveTransport { transport: bob.transport });
    sim.run(LATE);
    assert_eq!(told(&sim, &camera).last(), Some(&None));
}

#[test]
fn the_largest_wish_counts_and_readers_take_everything() {
    let mut sim = Sim::new(92, 1);
    let (alice, bob, carol) = (sim.connect(), sim.connect(), sim.connect());
    let mut camera = sim.publish_video(alice, Layers::Three);
    let (small, large) = (sim.subscribe(&mut camera, bob), sim.subscribe(&mut camera, carol));
    sim.command(0, Command::UpdateSubscription { slot: small.slot, wish: wish(180) });
    sim.run(LATE);
    assert_eq!(told(&sim, &camera), [], "all of it is taken, as in the beginning");
    sim.command(0, Command::Unsubscribe { slot: large.slot });
    sim.run(LATE);
    assert_eq!(told(&sim, &camera), [Some(0)]);
    let target = Target::Tap(TapId(1));
    sim.command(0, Command::AddTarget { track: camera.track, target });
    sim.run_ms(10);
    assert_eq!(told(&sim, &camera), [Some(0), Some(2)]);
    sim.command(0, Command::RemoveTarget { track: camera.track, target });
    sim.run(LATE);
    assert_eq!(told(&sim, &camera), [Some(0), Some(2), Some(0)]);
}

#[test]
fn wishes_on_another_worker_reach_the_home_of_the_track() {
    let mut sim = Sim::new(93, 2);
    let (alice, bob) = (sim.connect(), sim.connect());
    assert_ne!(alice.worker, bob.worker);
    let mut camera = sim.publish_video(alice, Layers::Three);
    let slot = sim.subscribe(&mut camera, bob);
    sim.run(LATE);
    assert_eq!(told(&sim, &camera), []);
    let worker = bob.worker;
    sim.command(worker, Command::UpdateSubscription { slot: slot.slot, wish: wish(360) });
    sim.run(LATE);
    assert_eq!(told(&sim, &camera), [Some(1)]);
    sim.command(worker, Command::UpdateSubscription { slot: slot.slot, wish: wish(720) });
    sim.run_ms(10);
    assert_eq!(told(&sim, &camera), [Some(1), Some(2)]);
    // The mirror goes; nobody over there takes anything any more.
    sim.command(worker, Command::RemoveTrack { track: camera.track });
    let target = Target::Ring(airside_engine::ids::WorkerId(worker as u8));
    sim.command(alice.worker, Command::RemoveTarget { track: camera.track, target });
    sim.run(LATE);
    assert_eq!(told(&sim, &camera), [Some(1), Some(2), None]);
}

#[test]
fn audio_is_never_asked_for_less() {
    let mut sim = Sim::new(94, 1);
    let alice = sim.connect();
    let microphone = sim.publish_audio(alice);
    sim.run(2 * LATE);
    assert_eq!(told(&sim, &microphone), []);
}
