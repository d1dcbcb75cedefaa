use crate::codec::Codec;
use crate::layer::Layer;
use crate::layers::Shape;
use crate::layers::testing::{Received, Sent, Stream, Subscriber, Vp8, assert_contiguous};

fn vp8(temporal: u8) -> (Subscriber, Vp8) {
    (Subscriber::new(Codec::Vp8, Shape::Simulcast, Layer::new(0, temporal)), Vp8::new(0))
}

fn temporals(received: &[Received]) -> Vec<u8> {
    received.iter().map(|packet| packet.layer.temporal).collect()
}

#[test]
fn a_thousand_dropped_pictures_leave_no_trace() {
    for (temporal, pictures) in [(0, 500), (1, 1000), (2, 2000)] {
        let (mut subscriber, mut publisher) = vp8(temporal);
        for round in 0..500 {
            let pictures = publisher.pattern(round == 0);
            pictures.iter().for_each(|picture| subscriber.see_all(picture));
        }
        let received = subscriber.take_received();
        assert_eq!(received.len(), 2 * pictures, "T{temporal}");
        assert_contiguous(&received);
        for pair in received.windows(2) {
            let step = pair[1].picture.unwrap() - pair[0].picture.unwrap();
            assert_eq!(step, u16::from(pair[1].seq % 2 == 0), "picture ids");
        }
    }
}

#[test]
fn up_at_sync_frames_one_layer_at_a_time_and_down_at_the_next_frame() {
    let (mut subscriber, mut publisher) = vp8(0);
    publisher.pattern(true).iter().for_each(|picture| subscriber.see_all(picture));
    subscriber.take_layers();
    subscriber.target(Layer::new(0, 2));
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.see_all(&publisher.picture(false, 2, true));
    subscriber.see_all(&publisher.picture(false, 1, false));
    subscriber.see_all(&publisher.picture(false, 1, true));
    subscriber.see_all(&publisher.picture(false, 2, false));
    subscriber.see_all(&publisher.picture(false, 2, true));
    let up: Vec<u8> = subscriber.take_layers().iter().map(|layer| layer.temporal).collect();
    assert_eq!(up, [0, 1, 2]);
    subscriber.target(Layer::new(0, 0));
    let picture = publisher.picture(false, 2, false);
    subscriber.see_all(&picture);
    assert!(subscriber.take_received().is_empty());
}

#[test]
fn target_that_changes_within_a_picture_waits_for_its_end() {
    let (mut subscriber, mut publisher) = vp8(2);
    subscriber.see_all(&publisher.picture(true, 0, false));
    let picture = publisher.picture(false, 2, true);
    subscriber.see(&picture[0]);
    subscriber.target(Layer::new(0, 0));
    subscriber.see(&picture[1]);
    subscriber.see_all(&publisher.picture(false, 2, true));
    let received = subscriber.take_received();
    assert_eq!(temporals(&received), [0, 0, 2, 2]);
    assert!(received[3].marker);
}

#[test]
fn late_packets_get_the_decision_of_their_picture() {
    let (mut subscriber, mut publisher) = vp8(0);
    subscriber.see_all(&publisher.picture(true, 0, false));
    let dropped = publisher.picture(false, 2, true);
    subscriber.see(&dropped[0]);
    subscriber.target(Layer::new(0, 2));
    subscriber.see_all(&publisher.picture(false, 1, true));
    let kept = publisher.picture(false, 2, true);
    subscriber.see(&kept[0]);
    subscriber.target(Layer::new(0, 0));
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.see(&dropped[1]);
    subscriber.see(&kept[1]);
    let mut received = subscriber.take_received();
    assert_eq!(temporals(&received), [0, 0, 1, 1, 2, 0, 0, 2]);
    received.sort_by_key(|packet| packet.seq);
    assert_contiguous(&received);
}

/// Pictures by temporal layer after a keyframe, for a subscriber of `target`; `lost` are packets
/// that never come. Two packets to a picture.
fn with_loss(target: u8, pattern: &[u8], lost: &[usize]) -> Vec<Received> {
    let (mut subscriber, mut publisher) = vp8(target);
    let mut packets: Vec<Sent> = publisher.picture(true, 0, false);
    for temporal in pattern {
        packets.extend(publisher.picture(false, *temporal, false));
    }
    let came = packets.iter().enumerate().filter(|(at, _)| !lost.contains(at));
    subscriber.see_all(came.map(|(_, packet)| packet));
    subscriber.take_received()
}

#[test]
fn loss_beside_a_left_out_picture_leaves_no_hole_where_picture_ids_tell() {
    // name, lost packets of key 0 1, T2 2 3, T0 4 5, T2 6 7, T0 8 9; received, and holes after.
    type Row<'a> = (&'a str, &'a [usize], &'a [usize], &'a [usize]);
    let rows: [Row<'_>; 8] = [
        ("nothing", &[], &[0, 1, 4, 5, 8, 9], &[]),
        ("second packet of a left out one", &[3], &[0, 1, 4, 5, 8, 9], &[]),
        ("first packet of it, after a kept one: kept in case", &[2], &[0, 1, 3, 4, 5, 8, 9], &[1]),
        ("all of it: kept one begins", &[2, 3], &[0, 1, 4, 5, 8, 9], &[1]),
        ("end of a kept one", &[5], &[0, 1, 4, 8, 9], &[4]),
        ("end of a kept one and the head of a left out one", &[5, 6], &[0, 1, 4, 7, 8, 9], &[4]),
        ("end of a left out one and the head of a kept one", &[3, 4], &[0, 1, 5, 8, 9], &[1]),
        ("from one left out one to the next", &[3, 4, 5, 6], &[0, 1, 7, 8, 9], &[1]),
    ];
    for (name, lost, expected, holes) in rows {
        let received = with_loss(0, &[2, 0, 2, 0], lost);
        let first = received[0].source;
        let got: Vec<usize> = received.iter().map(|p| (p.source - first) as usize).collect();
        assert_eq!(got, expected, "{name}");
        let found: Vec<usize> = received
            .windows(2)
            .filter(|pair| pair[1].seq > pair[0].seq + 1)
            .map(|pair| (pair[0].source - first) as usize)
            .collect();
        assert_eq!(found, holes, "{name}");
    }
}

#[test]
fn picture_that_only_shows_up_late_fills_its_hole() {
    let (mut subscriber, mut publisher) = vp8(0);
    subscriber.see_all(&publisher.picture(true, 0, false));
    let late = publisher.picture(false, 2, false);
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.see_all(&late);
    let mut received = subscriber.take_received();
    assert_eq!(received.len(), 6);
    received.sort_by_key(|packet| packet.seq);
    assert_contiguous(&received);
}

#[test]
fn padding_is_no_gap() {
    let (mut subscriber, mut publisher) = vp8(0);
    subscriber.see_all(&publisher.picture(true, 0, false));
    let padding = publisher.stream.seq;
    publisher.stream.seq += 1;
    subscriber.map.exclude(0, padding);
    subscriber.selector.on_padding(0, padding);
    subscriber.selector.on_padding(1, padding + 50);
    publisher.picture += 1;
    subscriber.see_all(&publisher.picture(false, 2, true));
    assert_eq!(subscriber.take_received().len(), 2, "not kept for an unclear loss");
}

#[test]
fn h265_goes_up_at_its_switching_points() {
    let mut subscriber = Subscriber::new(Codec::H265, Shape::Simulcast, Layer::new(0, 0));
    let mut stream = Stream::new(0);
    let mut see = |subscriber: &mut Subscriber, kind: u8, temporal: u8| {
        let slice = vec![kind << 1, temporal + 1, 0x80];
        let rest = vec![kind << 1, temporal + 1, 0x00];
        let head =
            if kind == 32 { vec![vec![64, 1, 1], vec![66, 1, 1]] } else { vec![slice, rest] };
        subscriber.see_all(&stream.frame(head, true));
        subscriber.take_layers().iter().map(|layer| layer.temporal).collect::<Vec<_>>()
    };
    assert_eq!(see(&mut subscriber, 32, 0), [0]);
    assert_eq!(see(&mut subscriber, 3, 1), []);
    subscriber.target(Layer::new(0, 2));
    assert_eq!(see(&mut subscriber, 1, 1), [], "no switching point");
    assert_eq!(see(&mut subscriber, 3, 2), [], "its layer below is missing");
    assert_eq!(see(&mut subscriber, 3, 1), [1]);
    assert_eq!(see(&mut subscriber, 5, 2), [2]);
    assert_eq!(see(&mut subscriber, 1, 2), [2]);
}

#[test]
fn h264_frames_nobody_refers_to_are_a_layer() {
    let mut subscriber = Subscriber::new(Codec::H264, Shape::Simulcast, Layer::new(0, 1));
    let mut stream = Stream::new(0);
    let mut see = |subscriber: &mut Subscriber, first: Vec<u8>, second: Vec<u8>| {
        subscriber.see_all(&stream.frame(vec![first, second], true));
        subscriber.take_received().len()
    };
    assert_eq!(see(&mut subscriber, vec![0x67, 1, 2], vec![0x65, 0x88]), 2);
    assert_eq!(see(&mut subscriber, vec![0x01, 0x9a], vec![0x01, 0x4a]), 2);
    subscriber.target(Layer::new(0, 0));
    assert_eq!(see(&mut subscriber, vec![0x01, 0x9a], vec![0x01, 0x4a]), 0);
    assert_eq!(see(&mut subscriber, vec![0x41, 0x9a], vec![0x41, 0x4a]), 2);
    assert_eq!(see(&mut subscriber, vec![0x06, 1], vec![0x41, 0x9a]), 2, "message, then a slice");
    subscriber.target(Layer::new(0, 1));
    assert_eq!(see(&mut subscriber, vec![0x01, 0x9a], vec![0x01, 0x4a]), 2, "at once again");
}
