use std::time::Duration;

use crate::codec::Codec;
use crate::layer::Layer;
use crate::layers::testing::{Subscriber, Vp9, assert_contiguous};
use crate::layers::{Cause, Shape};

fn svc(target: Layer, key_only: bool) -> (Subscriber, Vp9) {
    let shape = Shape::Svc { key_only: None };
    (Subscriber::new(Codec::Vp9, shape, target), Vp9::new(3, key_only))
}

fn spatials(subscriber: &mut Subscriber) -> Vec<u8> {
    subscriber.take_layers().iter().map(|layer| layer.spatial).collect()
}

#[test]
fn marker_is_at_the_end_of_the_top_layer_forwarded() {
    for top in 0..3 {
        let (mut subscriber, mut publisher) = svc(Layer::new(top, 0), false);
        for picture in 0..10 {
            subscriber.see_all(&publisher.picture(picture == 0, 0, false));
            let received = subscriber.received.clone();
            assert_eq!(received.len(), 2 * (usize::from(top) + 1));
            let markers = subscriber.take_markers();
            let (last, before) = markers.split_last().unwrap();
            assert!(*last && before.iter().all(|marker| !marker), "S{top}: {markers:?}");
            assert_contiguous(&received);
        }
        assert_eq!(subscriber.selector.waits_for(), None);
    }
}

#[test]
fn numbers_are_contiguous_over_pictures_and_ids_stay_the_publishers() {
    let (mut subscriber, mut publisher) = svc(Layer::new(0, 0), false);
    for picture in 0..1000 {
        subscriber.see_all(&publisher.picture(picture == 0, 0, false));
    }
    let received = subscriber.take_received();
    assert_contiguous(&received);
    assert_eq!(received.last().unwrap().picture, Some(200 + 1000));
}

#[test]
fn full_svc_goes_down_at_once_and_up_at_a_keyframe() {
    let (mut subscriber, mut publisher) = svc(Layer::new(2, 0), false);
    subscriber.see_all(&publisher.picture(true, 0, false));
    let picture = publisher.picture(false, 0, false);
    subscriber.see_all(&picture[..3]);
    subscriber.target(Layer::new(0, 0));
    subscriber.see_all(&picture[3..]);
    assert_eq!(spatials(&mut subscriber), [0, 1, 2, 0, 1, 2], "not within a picture");
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(subscriber.take_markers(), [false, true]);
    assert_eq!(subscriber.selector.waits_for(), None);

    subscriber.target(Layer::new(1, 0));
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    assert_eq!(subscriber.take_markers(), [false, true], "the marker stays where the picture is");
    subscriber.see_all(&publisher.picture(true, 0, false));
    assert_eq!(subscriber.selector.waits_for(), None);
    assert_eq!(subscriber.take_markers(), [false, false, false, true]);
    assert_eq!(subscriber.switches.len(), 1);
}

#[test]
fn key_only_mode_is_recognised_and_its_lower_layers_left_out_between_keyframes() {
    let (mut subscriber, mut publisher) = svc(Layer::new(1, 0), true);
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(spatials(&mut subscriber), [0, 1, 0, 1], "seen in the first delta picture");
    for _ in 0..3 {
        subscriber.see_all(&publisher.picture(false, 0, false));
    }
    let received = subscriber.received.clone();
    assert_contiguous(&received);
    assert_eq!(spatials(&mut subscriber), [1, 1, 1]);
    assert_eq!(received.iter().filter(|packet| packet.marker).count(), 3);
}

#[test]
fn key_only_mode_goes_down_at_a_keyframe_and_to_the_lowest_frame_rate_under_congestion() {
    let shape = Shape::Svc { key_only: Some(true) };
    let mut subscriber = Subscriber::new(Codec::Vp9, shape, Layer::new(2, 1));
    let mut publisher = Vp9::new(3, true);
    let start = subscriber.start;
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.see_all(&publisher.picture(false, 1, true));
    assert_eq!(spatials(&mut subscriber), [0, 1, 2, 2]);
    subscriber.selector.set_target(Some(Layer::new(0, 1)), Cause::Congestion, start);
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    subscriber.see_all(&publisher.picture(false, 1, true));
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(subscriber.take_layers(), [Layer::new(2, 0), Layer::new(2, 0)]);
    assert!(subscriber.selector.on_overload(start + Duration::from_millis(300)));
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.see_all(&publisher.picture(false, 1, true));
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0), Layer::new(0, 1)]);
    assert_eq!(subscriber.selector.waits_for(), None);
}

#[test]
fn temporal_layers_come_at_switching_up_points_of_either_meaning() {
    // Temporal layer and U of pictures after the wish for T2, and the layers received.
    type Row<'a> = (&'a str, &'a [(u8, bool)], &'a [u8]);
    let rows: [Row<'_>; 3] = [
        (
            "U below lets all above come",
            &[(0, false), (1, false), (0, true), (2, false)],
            &[0, 0, 2],
        ),
        ("U of the layer itself", &[(2, true), (1, true), (2, false), (2, true)], &[1, 2]),
        ("none", &[(0, false), (1, false), (2, false)], &[0]),
    ];
    for (name, pictures, expected) in rows {
        let (mut subscriber, _) = svc(Layer::new(0, 0), false);
        let mut publisher = Vp9::new(1, false);
        subscriber.see_all(&publisher.picture(true, 0, false));
        subscriber.see_all(&publisher.picture(false, 1, true));
        subscriber.take_received();
        subscriber.target(Layer::new(0, 2));
        for (temporal, up) in pictures {
            subscriber.see_all(&publisher.picture(false, *temporal, *up));
        }
        let got: Vec<u8> = subscriber.take_layers().iter().map(|layer| layer.temporal).collect();
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn flexible_mode_refuses_frames_whose_reference_was_left_out() {
    let (mut subscriber, mut publisher) = svc(Layer::new(0, 0), false);
    publisher.flexible = true;
    let mut see = |subscriber: &mut Subscriber, key, temporal, references: &[u8]| {
        subscriber.see_all(&publisher.layers(key, temporal, false, references, |s| s == 0));
        !subscriber.take_received().is_empty()
    };
    assert!(see(&mut subscriber, true, 0, &[]));
    assert!(!see(&mut subscriber, false, 1, &[1]), "unwanted");
    subscriber.target(Layer::new(0, 1));
    assert!(!see(&mut subscriber, false, 1, &[1]), "refers to what was left out");
    assert!(see(&mut subscriber, false, 0, &[3]));
    assert!(!see(&mut subscriber, false, 1, &[1, 2]), "one of two references is missing");
    assert!(see(&mut subscriber, false, 1, &[2]));
    assert!(see(&mut subscriber, false, 1, &[1]));
}

#[test]
fn late_packets_get_the_decision_of_their_picture() {
    let (mut subscriber, mut publisher) = svc(Layer::new(2, 0), false);
    subscriber.see_all(&publisher.picture(true, 0, false));
    let before = publisher.picture(false, 0, false);
    // The end of S1 and all of S2 are late.
    subscriber.see_all(&before[..3]);
    subscriber.target(Layer::new(0, 0));
    let after = publisher.picture(false, 0, false);
    subscriber.see_all(&after[..2]);
    let unseen = publisher.picture(false, 0, false);
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.take_received();
    subscriber.see_all(&before[3..]);
    subscriber.see_all(&after[2..]);
    subscriber.see_all(&unseen);
    let received = subscriber.take_received();
    let got: Vec<(u8, bool)> = received.iter().map(|p| (p.layer.spatial, p.marker)).collect();
    let expected = [(1, false), (2, false), (2, true), (0, false), (0, true)];
    assert_eq!(got, expected);
}

#[test]
fn loss_among_left_out_layers_leaves_no_hole() {
    // Packets of pictures: S0 0 1, S1 2 3, S2 4 5. What is lost of the second picture.
    let rows: [(&str, &[usize], bool); 7] = [
        ("within an unwanted layer", &[3], false),
        ("between unwanted layers", &[3, 4], false),
        ("end of the picture", &[5], false),
        ("unwanted layers but one packet", &[3, 4, 5], false),
        ("an unwanted layer, all of it, after a wanted one", &[2, 3, 4, 5], true),
        ("end of the wanted one", &[1], true),
        ("first of an unwanted layer", &[2], true),
    ];
    for (name, lost, hole) in rows {
        let (mut subscriber, mut publisher) = svc(Layer::new(0, 0), false);
        subscriber.see_all(&publisher.picture(true, 0, false));
        let picture = publisher.picture(false, 0, false);
        let came = picture.iter().enumerate().filter(|(at, _)| !lost.contains(at));
        subscriber.see_all(came.map(|(_, packet)| packet));
        subscriber.see_all(&publisher.picture(false, 0, false));
        let received = subscriber.take_received();
        let expected = (received.len() as u64 - 1) + if hole { lost.len() as u64 } else { 0 };
        assert_eq!(received.last().unwrap().seq - received[0].seq, expected, "{name}");
    }
}

#[test]
fn publisher_with_fewer_layers_is_not_asked_for_more() {
    let (mut subscriber, mut publisher) = svc(Layer::new(2, 0), false);
    subscriber.see_all(&publisher.picture(true, 0, false));
    assert_eq!(subscriber.selector.current(), Some(Layer::new(2, 0)));
    publisher.spatial_layers = 2;
    subscriber.take_received();
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(subscriber.selector.current(), Some(Layer::new(1, 0)));
    assert_eq!(subscriber.selector.waits_for(), None);
    let markers = subscriber.take_markers();
    assert_eq!(markers, [false, false, false, true, false, false, false, true]);
    publisher.spatial_layers = 3;
    subscriber.see_all(&publisher.picture(true, 0, false));
    assert_eq!(subscriber.selector.current(), Some(Layer::new(2, 0)));
}

#[test]
fn layer_that_ends_without_a_word_is_noticed() {
    let (mut subscriber, mut publisher) = svc(Layer::new(2, 0), true);
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.see_all(&publisher.picture(false, 0, false));
    for _ in 0..6 {
        subscriber.see_all(&publisher.layers(false, 0, false, &[1], |spatial| spatial < 2));
    }
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    publisher.spatial_layers = 2;
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.take_received();
    subscriber.see_all(&publisher.picture(false, 0, false));
    assert_eq!(spatials(&mut subscriber), [1]);
    assert_eq!(subscriber.selector.waits_for(), None);
}

#[test]
fn begin_and_end_flags_hold_over_losses() {
    // Packets of pictures: S0 0 1, S1 2 3, S2 4 5; each layer's first has B, its last E.
    let (mut subscriber, mut publisher) = svc(Layer::new(2, 0), false);
    let headless = publisher.picture(true, 0, false);
    subscriber.see_all(&headless[1..]);
    assert!(subscriber.take_received().is_empty(), "without B of its lowest layer nothing starts");
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    let key = publisher.picture(true, 0, false);
    // B of S1 and E of S2 are late: each still gets its place, and the marker its packet.
    subscriber.see_all([0, 1, 3, 4].map(|at| &key[at]));
    subscriber.see_all(&publisher.picture(false, 0, false));
    let first = subscriber.received[0].seq;
    subscriber.see_all([5, 2].map(|at| &key[at]));
    let received = subscriber.take_received();
    let places: Vec<u64> = received.iter().map(|packet| packet.seq - first).collect();
    assert_eq!(places, [0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 5, 2]);
    let markers: Vec<u64> =
        received.iter().filter(|packet| packet.marker).map(|packet| packet.seq - first).collect();
    assert_eq!(markers, [11, 5]);
    assert_eq!(subscriber.selector.current(), Some(Layer::new(2, 0)));
    // Downswitch over a picture whose end was lost: the marker is at the end of what is left of the next.
    let cut = publisher.picture(false, 0, false);
    subscriber.see_all(&cut[..5]);
    subscriber.target(Layer::new(0, 0));
    subscriber.see_all(&publisher.picture(false, 0, false));
    let received = subscriber.take_received();
    assert_eq!(received.iter().map(|packet| packet.marker).filter(|marker| *marker).count(), 1);
    let last = received.last().unwrap();
    assert_eq!((last.marker, last.layer.spatial, last.seq - first), (true, 0, 12 + 7));
}
