//! A pacer driven by hand, with a clock that the tests move.

use super::hold::{HOLD_ABOVE, HOLD_UNTIL_BELOW, PREPARE};
use super::*;

const MS: Duration = Duration::from_millis(1);

#[derive(Debug, PartialEq, Eq)]
enum Pushed {
    Now(Option<ProbeId>),
    Queued,
    Dropped,
}

impl Pacer<u32> {
    fn push(&mut self, header: Header, item: u32, now: Instant) -> Pushed {
        match self.admit(&header, now) {
            Verdict::Now(probe) => Pushed::Now(probe),
            Verdict::Wait(place) if self.queue(header, place, item, now) => Pushed::Queued,
            Verdict::Wait(_) | Verdict::Drop => Pushed::Dropped,
        }
    }
}

const CAMERA: SlotId = SlotId(1);
const SCREEN: SlotId = SlotId(2);

fn header(class: PacketClass, slot: SlotId, importance: u8) -> Header {
    Header { class, slot, importance, size: 1200, keyframe: false, start: true, end: false }
}

fn video(slot: SlotId, importance: u8) -> Header {
    header(PacketClass::Video, slot, importance)
}

/// Half a megabit a second: 62.5 bytes a millisecond.
fn pacer() -> Pacer<u32> {
    Pacer::new(Bitrate::kbps(250))
}

/// Empties the bucket and leaves one packet waiting.
fn saturate(pacer: &mut Pacer<u32>, now: Instant) {
    for i in 0..12 {
        assert_eq!(pacer.push(video(CAMERA, 1), i, now), Pushed::Now(None));
    }
    assert_eq!(pacer.push(video(CAMERA, 1), 12, now), Pushed::Queued);
}

fn drain(pacer: &mut Pacer<u32>, from: Instant, time: Duration) -> Vec<(Instant, u32)> {
    let mut released = Vec::new();
    let mut now = from;
    while now < from + time {
        now += MS;
        while let Some(release) = pacer.poll(now) {
            released.push((now, release.item));
        }
    }
    released
}

#[test]
fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    for i in 13..20 {
        pacer.push(video(CAMERA, 1), i, now);
    }
    let released = drain(&mut pacer, now, 200 * MS);
    let items: Vec<u32> = released.iter().map(|r| r.1).collect();
    assert_eq!(items, (12..20).collect::<Vec<_>>());
    let took = released[7].0 - released[0].0;
    assert!(took >= 130 * MS && took <= 138 * MS, "{took:?}: 7 packets of 19.2 ms");
}

#[test]
fn audio_never_waits() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    let audio = Header { size: 150, ..header(PacketClass::Audio, SlotId(9), 0) };
    for i in 100..200 {
        assert_eq!(pacer.push(audio, i, now), Pushed::Now(None));
    }
    let first = drain(&mut pacer, now, 200 * MS)[0].0;
    assert!(first - now <= 78 * MS, "video waits for the debt of 4800 bytes at most");
}

#[test]
fn retransmissions_first_then_by_importance() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    pacer.push(video(CAMERA, 0), 1, now);
    pacer.push(video(SCREEN, 2), 2, now);
    pacer.push(header(PacketClass::Retransmission, CAMERA, 1), 3, now);
    let items: Vec<u32> = drain(&mut pacer, now, 200 * MS).into_iter().map(|r| r.1).collect();
    assert_eq!(items, [3, 2, 12, 1]);
}

#[test]
fn a_track_that_gains_importance_keeps_its_order() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    pacer.push(video(CAMERA, 2), 13, now);
    let items: Vec<u32> = drain(&mut pacer, now, 100 * MS).into_iter().map(|r| r.1).collect();
    assert_eq!(items, [12, 13]);
}

#[test]
fn too_long_a_queue_loses_the_least_important_track_until_its_keyframe() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    for i in 0..20 {
        assert_eq!(pacer.push(video(SCREEN, 2), i, now), Pushed::Queued);
    }
    // 26 packets at 62.5 bytes/ms are 499 ms; the next is one too many.
    for i in 0..5 {
        assert_eq!(pacer.push(video(CAMERA, 1), i, now), Pushed::Queued);
    }
    assert_eq!(pacer.push(video(CAMERA, 1), 5, now), Pushed::Dropped);
    assert_eq!(pacer.poll_cut(), Some(Cut { slot: CAMERA, packets: 7 }));
    assert_eq!(pacer.poll_cut(), None);
    assert_eq!(pacer.push(video(CAMERA, 1), 6, now), Pushed::Dropped);
    let resent = header(PacketClass::Retransmission, CAMERA, 1);
    assert_eq!(pacer.push(resent, 6, now), Pushed::Dropped);
    let key = Header { keyframe: true, ..video(CAMERA, 1) };
    assert_eq!(pacer.push(key, 7, now), Pushed::Queued);
    assert_eq!(pacer.queued_bytes(), 21 * 1200);
}

#[test]
fn a_keyframe_may_take_longer() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    drain(&mut pacer, now, 300 * MS);
    let now = now + 300 * MS;
    let key = Header { keyframe: true, ..video(SCREEN, 2) };
    assert_eq!(pacer.push(key, 0, now), Pushed::Now(None));
    for i in 1..50 {
        let verdict = pacer.push(Header { end: i == 49, ..video(SCREEN, 2) }, i, now);
        assert_ne!(verdict, Pushed::Dropped, "packet {i} of the keyframe");
    }
    assert!(pacer.queue_delay(now) > MAX_QUEUE);
    // What follows waits behind it; another camera without a keyframe goes.
    assert_eq!(pacer.push(video(SCREEN, 2), 50, now), Pushed::Queued);
    assert_eq!(pacer.push(video(CAMERA, 1), 51, now), Pushed::Dropped);
    for i in 52..200 {
        pacer.push(video(SCREEN, 2), i, now);
    }
    assert!(pacer.queue_delay(now) <= MAX_KEYFRAME_QUEUE);
}

#[test]
fn what_is_old_is_made_anew_before_the_hold_ends() {
    let start = Instant::now();
    let mut pacer = pacer();
    assert_eq!(pacer.set_path_queue(HOLD_ABOVE + MS, start), Some(HoldStep::Begins));
    assert_eq!(pacer.set_path_queue(HOLD_UNTIL_BELOW + PREPARE, start + 100 * MS), None);
    assert_eq!(pacer.push(video(CAMERA, 1), 0, start + 100 * MS), Pushed::Queued);
    let before = HOLD_UNTIL_BELOW + PREPARE - MS;
    assert_eq!(pacer.set_path_queue(before, start + 150 * MS), Some(HoldStep::Ends));
    assert_eq!(pacer.waited(CAMERA, start + 150 * MS), 50 * MS);
    assert!(pacer.held(), "nothing leaves yet");
    assert_eq!(pacer.set_path_queue(HOLD_ABOVE + MS, start + 200 * MS), None, "nor begins again");
    assert_eq!(pacer.set_path_queue(Duration::ZERO, start + 300 * MS), None);
    assert!(!pacer.held());
    assert!(pacer.shows_hold(start + 300 * MS) && !pacer.shows_hold(start + 1300 * MS));
}

#[test]
fn a_frame_of_which_a_little_is_left_is_completed_though_the_rest_is_dropped() {
    let now = Instant::now();
    let mut pacer = pacer();
    saturate(&mut pacer, now);
    let frame = |start, end| Header { start, end, ..video(CAMERA, 1) };
    pacer.forget_slot(CAMERA);
    for (item, header) in
        [(13, frame(false, true)), (14, frame(true, false)), (15, frame(false, true))]
    {
        assert_eq!(pacer.push(header, item, now), Pushed::Queued);
    }
    assert_eq!(pacer.end_slot(CAMERA), 2);
    pacer.set_path_queue(HOLD_ABOVE + MS, now);
    assert_eq!(pacer.end_slot(CAMERA), 0);
    let released = drain(&mut pacer, now, 100 * MS);
    assert_eq!(released.iter().map(|(_, item)| *item).collect::<Vec<_>>(), [13]);
    // Of one that has not begun to leave nothing does.
    assert_eq!(pacer.push(frame(true, false), 16, now + 100 * MS), Pushed::Queued);
    assert_eq!(pacer.push(frame(false, true), 17, now + 100 * MS), Pushed::Queued);
    assert_eq!(pacer.end_slot(CAMERA), 2);
}

#[test]
fn one_keyframe_goes_before_the_end_of_a_hold_when_the_path_has_room_for_it() {
    let (mut pacer, now) = (pacer(), Instant::now());
    pacer.set_path_queue(HOLD_ABOVE + MS, now);
    for item in [0, 10] {
        let first = Header { keyframe: true, ..video(CAMERA, 1) };
        let last = Header { start: false, end: true, ..video(CAMERA, 1) };
        pacer.push(first, item, now);
        pacer.push(last, item + 1, now);
        pacer.push(video(CAMERA, 1), item + 2, now);
    }
    assert_eq!(pacer.superseded(), 3, "by the second");
    let takes = DataSize::bytes(2 * 1200) / pacer.rate;
    let room = takes.div_f64(crate::bwe::EMPTIES);
    assert_eq!(pacer.poll(now + room - MS), None);
    let released = drain(&mut pacer, now + room + MS, 10 * room);
    assert_eq!(released.iter().map(|(_, item)| *item).collect::<Vec<_>>(), [10, 11]);
}

#[test]
fn what_is_spared_goes_on_in_order_while_the_rest_is_held() {
    let now = Instant::now();
    let mut pacer = pacer();
    saturate(&mut pacer, now);
    assert_eq!(pacer.push(video(SCREEN, 2), 20, now), Pushed::Queued);
    pacer.set_path_queue(HOLD_ABOVE + MS, now);
    pacer.spare(CAMERA);
    assert_eq!(pacer.push(video(CAMERA, 1), 13, now + 60 * MS), Pushed::Queued, "12 waits");
    let released = drain(&mut pacer, now + 60 * MS, 100 * MS);
    assert_eq!(released.iter().map(|(_, item)| *item).collect::<Vec<_>>(), [12, 13]);
    assert_eq!(pacer.push(video(CAMERA, 1), 14, now + 200 * MS), Pushed::Now(None));
    pacer.set_path_queue(Duration::ZERO, now + 250 * MS);
    assert_eq!(drain(&mut pacer, now + 250 * MS, 50 * MS)[0].1, 20);
}

#[test]
fn held_video_waits_and_is_dropped_when_old() {
    let (mut pacer, now) = (pacer(), Instant::now());
    pacer.set_path_queue(HOLD_ABOVE + MS, now);
    assert_eq!(pacer.push(video(CAMERA, 1), 0, now), Pushed::Queued);
    assert_eq!(pacer.poll(now + 100 * MS), None);
    assert_eq!(pacer.poll_timeout(), Some(now + 100 * MS + HOLD_TICK));
    pacer.set_path_queue(HOLD_UNTIL_BELOW, now + 400 * MS);
    assert_eq!(pacer.push(video(CAMERA, 1), 1, now + 501 * MS), Pushed::Dropped);
    pacer.set_path_queue(HOLD_UNTIL_BELOW - MS, now + 502 * MS);
    let key = Header { keyframe: true, ..video(CAMERA, 1) };
    assert_eq!(pacer.push(key, 2, now + 502 * MS), Pushed::Now(None));
}

#[test]
fn a_queue_that_others_make_does_not_stop_video_for_good() {
    let (mut pacer, start) = (pacer(), Instant::now());
    let mut held = 0;
    for i in 0..200_u32 {
        pacer.set_path_queue(HOLD_ABOVE * 2, start + 100 * MS * i);
        held += u32::from(pacer.held());
    }
    assert!((40..=60).contains(&held), "{held} of 200");
}

#[test]
fn a_probe_is_filled_by_media_and_padding_at_its_rate() {
    let (mut pacer, mut now) = (pacer(), Instant::now());
    let cluster =
        ProbeCluster { id: ProbeId(7), rate: Bitrate::mbps(4), min_packets: 5, min_bytes: 10_000 };
    pacer.push(video(CAMERA, 1), 0, now);
    pacer.start_probe(cluster, now);
    let start = now;
    assert_eq!(pacer.push(video(CAMERA, 1), 0, now), Pushed::Now(Some(ProbeId(7))));
    let mut sent = 1;
    while pacer.probe.is_some() {
        now += 2 * MS;
        while pacer.poll_padding(now).is_some() {
            pacer.sent_padding(Some(1200));
            sent += 1;
        }
    }
    assert_eq!(sent, 9, "over 10 000 bytes");
    let took = now - start;
    assert!(took >= 18 * MS && took <= 22 * MS, "{took:?}");
    assert_eq!(pacer.push(video(CAMERA, 1), 0, now + 20 * MS), Pushed::Now(None));
}

#[test]
fn a_probe_without_anything_to_send_ends() {
    let (mut pacer, now) = (pacer(), Instant::now());
    let cluster =
        ProbeCluster { id: ProbeId(1), rate: Bitrate::mbps(1), min_packets: 5, min_bytes: 2500 };
    pacer.start_probe(cluster, now);
    assert!(pacer.poll_padding(now).is_some());
    pacer.sent_padding(None);
    assert_eq!(pacer.poll_padding(now), None);
    pacer.start_probe(cluster, now);
    assert_eq!(pacer.poll_padding(now + PROBE_TIMEOUT + MS), None);
}

#[test]
fn another_source_forgets_what_waited() {
    let (mut pacer, now) = (pacer(), Instant::now());
    saturate(&mut pacer, now);
    pacer.forget_slot(CAMERA);
    assert_eq!(pacer.queued_bytes(), 0);
    assert_eq!(pacer.queue_delay(now), Duration::ZERO);
}
