//! Slots outlive what they carry.

use airside_engine::command::{Command, MediaKind};

use crate::sim::{Layers, Sim, wish};

#[test]
fn thousand_rebinds_keep_numbers_contiguous_and_tables_small() {
    let mut sim = Sim::new(61, 1);
    let (alice, bob, carol) = (sim.connect(), sim.connect(), sim.connect());
    let tracks = [sim.publish_audio(alice).track, sim.publish_audio(carol).track];
    let slot = sim.add_slot(bob, MediaKind::Audio);
    for round in 0..1000 {
        let track = tracks[round % 2];
        sim.command(0, Command::Subscribe { slot: slot.slot, track, wish: wish(720) });
        sim.run_ms(50);
        if round % 7 == 0 {
            sim.command(0, Command::Unsubscribe { slot: slot.slot });
        }
    }
    sim.run_ms(100);
    assert_eq!(sim.failures(), Vec::<String>::new());
    let packets = sim.received(slot);
    assert!(packets.len() > 2000, "{}", packets.len());
    for pair in packets.windows(2) {
        assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 48_000);
    }
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("worker", "slots"), 1);
    assert_eq!(stats.total("worker", "tracks"), 2);
    let client = sim.nodes[bob.node].engine.stats(sim.now);
    assert_eq!(client.total("layers", "nacks_sent"), 0);
}

#[test]
fn video_slot_switches_between_cameras_at_keyframes() {
    let mut sim = Sim::new(62, 1);
    let (alice, bob, carol) = (sim.connect(), sim.connect(), sim.connect());
    let mut cameras =
        [sim.publish_video(alice, Layers::One), sim.publish_video(carol, Layers::One)];
    let slot = sim.add_slot(bob, MediaKind::Video);
    for round in 0..20 {
        sim.bind(&mut cameras[round % 2], slot);
        sim.run_ms(700);
    }
    let packets = sim.received(slot);
    for pair in packets.windows(2) {
        let step = pair[1].ext_seq - pair[0].ext_seq;
        assert!(step == 1 || step == 2, "{step}");
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 90_000);
    }
    let switches = sim.nodes[0].engine.stats(sim.now).total("slots", "switches");
    assert_eq!(switches, 20);
}

#[test]
fn publishing_and_ending_a_thousand_times_leaves_nothing_behind() {
    let mut sim = Sim::new(63, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let slot = sim.add_slot(bob, MediaKind::Audio);
    for _ in 0..1000 {
        let mut microphone = sim.publish_audio(alice);
        sim.bind(&mut microphone, slot);
        sim.run_ms(30);
        sim.command(0, Command::RemoveTrack { track: microphone.track });
        sim.command(alice.node, Command::RemoveTrack { track: microphone.local });
        sim.command(alice.node, Command::RemoveSlot { slot: microphone.slots[0] });
    }
    let stats = sim.nodes[0].engine.stats(sim.now);
    assert_eq!(stats.total("worker", "tracks"), 0);
    assert_eq!(stats.total("worker", "slots"), 1);
    assert!(sim.received(slot).len() > 700, "{}", sim.received(slot).len());
    assert_eq!(sim.failures(), Vec::<String>::new());
}

#[test]
fn commands_about_unknown_things_fail_by_name_and_removals_are_silent() {
    use airside_engine::ids::{SlotId, TrackId, TransportId};
    let mut sim = Sim::new(64, 1);
    let (slot, track, transport) = (SlotId(1), TrackId(2), TransportId(3));
    for command in [
        Command::RemoveSlot { slot },
        Command::Unsubscribe { slot },
        Command::RemoveTrack { track },
        Command::RemoveTransport { transport },
    ] {
        sim.command(0, command);
    }
    assert_eq!(sim.failures(), Vec::<String>::new());
    sim.command(0, Command::Subscribe { slot, track, wish: wish(1) });
    sim.command(0, Command::RequestKeyframe { track, layer: 0 });
    sim.command(0, Command::SetTrackMuted { track, muted: true });
    assert_eq!(sim.failures().len(), 3);
}

#[test]
fn an_ssrc_is_never_used_twice_on_a_transport() {
    let mut sim = Sim::new(65, 1);
    let bob = sim.connect();
    let first = sim.add_slot(bob, MediaKind::Audio);
    sim.command(0, Command::RemoveSlot { slot: first.slot });
    let add = |slot| {
        Command::AddSlot(airside_engine::command::AddSlot {
            slot,
            transport: bob.transport,
            mid: "9".into(),
            rid: None,
            kind: MediaKind::Audio,
            ssrc: first.ssrc,
            rtx_ssrc: None,
            codecs: Vec::new(),
        })
    };
    sim.command(0, add(airside_engine::ids::SlotId(999)));
    assert!(sim.failures()[0].contains("ssrc was used before"));
}
