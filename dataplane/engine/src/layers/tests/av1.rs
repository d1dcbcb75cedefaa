use crate::codec::dependency_descriptor::{Frame, Header, Structure};
use crate::codec::{Codec, Inspector};
use crate::layer::Layer;
use crate::layers::Shape;
use crate::layers::testing::{Av1, Received, Sent, Stream, Subscriber, assert_contiguous};

const SVC: Shape = Shape::Svc { key_only: None };

/// Temporal pattern 0 2 1 2.
const PATTERN: [u8; 4] = [0, 2, 1, 2];

/// A picture of a publisher without descriptors: its layer stands in the OBU extension only.
fn plain_picture(stream: &mut Stream, key: bool, temporal: u8) -> Vec<Sent> {
    let head = if key { vec![0x18, 0x0A, 1] } else { vec![0x10, 0x36, temporal << 5, 1] };
    stream.frame(vec![head, vec![0x90, 1, 2]], true)
}

#[test]
fn without_descriptors_temporal_layers_go_at_once_and_come_at_a_keyframe() {
    let target = |temporal| Layer::new(2, temporal);
    let mut subscriber = Subscriber::new(Codec::Av1, SVC, target(2));
    let mut stream = Stream::new(0);
    let mut film = |subscriber: &mut Subscriber, key: bool| {
        for at in 0..20 {
            let key = key && at == 0;
            let temporal = if key { 0 } else { PATTERN[at % 4] };
            subscriber.see_all(&plain_picture(&mut stream, key, temporal));
        }
        let received = subscriber.take_received();
        assert_contiguous(&received);
        let markers = received.iter().filter(|packet| packet.marker).count();
        assert_eq!(2 * markers, received.len(), "whole pictures");
        markers
    };
    assert_eq!(film(&mut subscriber, true), 20);
    subscriber.target(target(0));
    assert_eq!(film(&mut subscriber, false), 5);
    assert_eq!(subscriber.selector.waits_for(), None);
    subscriber.target(target(1));
    assert_eq!(film(&mut subscriber, false), 5);
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    assert_eq!(film(&mut subscriber, true), 10);
    assert_eq!(subscriber.selector.waits_for(), None);
}

fn l3t3(target: Layer, key_only: bool) -> (Subscriber, Av1) {
    (Subscriber::new(Codec::Av1, SVC, target), Av1::new(3, 3, key_only))
}

/// Active decode targets that each packet announces.
fn announced(received: &[Received]) -> Vec<Option<u32>> {
    let mut structure = None;
    let mut masks = Vec::new();
    for packet in received {
        let data = packet.descriptor.as_deref().unwrap();
        if Header::parse(data).unwrap().has_structure {
            structure = Structure::parse(data).ok();
        }
        masks.push(Frame::parse(data, structure.as_ref().unwrap()).unwrap().active_targets);
    }
    masks
}

fn frame_numbers(received: &[Received]) -> Vec<u16> {
    let number = |packet: &Received| {
        Header::parse(packet.descriptor.as_deref().unwrap()).unwrap().frame_number
    };
    received.iter().map(number).collect()
}

#[test]
fn the_model_publisher_is_read_as_meant() {
    let mut publisher = Av1::new(3, 3, false);
    let mut inspector = Inspector::new(Codec::Av1);
    let sent = publisher.picture(true, 0);
    let data = sent[0].descriptor.as_deref();
    assert!(data.unwrap().len() > 16, "needs two-byte extension headers");
    inspector.inspect(&[0x10, 0x32, 1], data, false, true);
    let dependency = inspector.dependency().unwrap();
    let structure = &dependency.structure;
    assert_eq!((structure.decode_targets(), structure.protected_by(8)), (9, Some(2)));
    assert_eq!(structure.targets_by_quality(), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(dependency.active_targets, 0x1ff);
    assert_eq!(dependency.frame.chain_distances(), [0, 0, 0]);
}

#[test]
fn subset_is_announced_on_every_packet_and_frame_numbers_are_not_compacted() {
    for target in [Layer::new(0, 0), Layer::new(1, 1), Layer::new(2, 2)] {
        let (mut subscriber, mut publisher) = l3t3(target, false);
        for round in 0..100 {
            for (at, temporal) in PATTERN.into_iter().enumerate() {
                subscriber.see_all(&publisher.picture(round == 0 && at == 0, temporal));
            }
        }
        let received = subscriber.take_received();
        assert_contiguous(&received);
        assert!(received.iter().all(|packet| target.covers(packet.layer)));
        let (s, t) = (u32::from(target.spatial) + 1, u32::from(target.temporal) + 1);
        let mask: u32 = (0..s).flat_map(|s| (0..t).map(move |t| 1 << (3 * s + t))).sum();
        let masks = announced(&received);
        if target == Layer::new(2, 2) {
            assert_eq!((masks[0], masks[1]), (Some(0x1ff), None), "as the publisher said");
        } else {
            assert!(masks.iter().all(|announced| *announced == Some(mask)), "{target:?}");
        }
        let sources: Vec<u16> = frame_numbers(&received);
        assert_eq!(sources[0], 501, "the publisher's numbers");
        assert!(sources.windows(2).all(|pair| pair[1] >= pair[0]));
        let pictures = received.iter().filter(|packet| packet.marker).count() as u32;
        assert_eq!(pictures, [100, 200, 400][target.temporal as usize]);
    }
}

#[test]
fn more_frames_at_a_switch_and_larger_ones_at_a_keyframe() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(1, 0), false);
    let mut see = |subscriber: &mut Subscriber, key: bool, temporal: u8| {
        subscriber.see_all(&publisher.picture(key, temporal));
        let received = subscriber.take_received();
        let markers: Vec<bool> = received.iter().map(|packet| packet.marker).collect();
        if let Some((last, before)) = markers.split_last() {
            assert!(*last && before.iter().all(|marker| !marker), "{markers:?}");
        }
        received.len() / 2
    };
    assert_eq!(see(&mut subscriber, true, 0), 2);
    assert_eq!(see(&mut subscriber, false, 2), 0);
    subscriber.target(Layer::new(2, 2));
    assert_eq!(see(&mut subscriber, false, 2), 0, "refers to nothing left out, but is no switch");
    assert_eq!(see(&mut subscriber, false, 1), 0, "S1 of it refers to S0, which was left out");
    assert_eq!(see(&mut subscriber, false, 0), 2, "T0 is one for all above");
    assert_eq!(see(&mut subscriber, false, 2), 2);
    assert_eq!(subscriber.selector.waits_for(), Some(0), "for the upper layer");
    assert_eq!(subscriber.selector.current(), Some(Layer::new(1, 2)));
    assert_eq!(see(&mut subscriber, true, 0), 3);
    assert_eq!(see(&mut subscriber, false, 2), 3);
    assert_eq!(subscriber.selector.waits_for(), None);
}

#[test]
fn full_svc_goes_down_at_the_next_picture() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(2, 2), false);
    subscriber.see_all(&publisher.picture(true, 0));
    let picture = publisher.picture(false, 0);
    subscriber.see_all(&picture[..2]);
    subscriber.target(Layer::new(0, 1));
    subscriber.see_all(&picture[2..]);
    assert_eq!(subscriber.take_received().len(), 12);
    for temporal in PATTERN {
        subscriber.see_all(&publisher.picture(false, temporal));
    }
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0), Layer::new(0, 1)]);
    assert_eq!(subscriber.selector.waits_for(), None);
    subscriber.target(Layer::new(2, 2));
    subscriber.see_all(&publisher.picture(false, 0));
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0)], "upper chains are broken");
    assert_eq!(subscriber.selector.waits_for(), Some(0));
}

#[test]
fn broken_chain_of_the_lower_layer_asks_for_a_keyframe() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(2, 0), true);
    subscriber.see_all(&publisher.picture(true, 0));
    subscriber.see_all(&publisher.picture(false, 0));
    assert_eq!(subscriber.take_layers().last(), Some(&Layer::new(2, 0)));
    subscriber.see_all(&publisher.picture(false, 0));
    assert_eq!(subscriber.take_layers(), [Layer::new(2, 0)], "the others refer to themselves");
    subscriber.target(Layer::new(0, 0));
    subscriber.see_all(&publisher.picture(false, 0));
    assert_eq!(subscriber.take_layers(), [Layer::new(2, 0)], "nothing else can be decoded");
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    subscriber.see_all(&publisher.picture(true, 0));
    subscriber.see_all(&publisher.picture(false, 0));
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0), Layer::new(0, 0)]);
    assert_eq!(subscriber.selector.waits_for(), None);
}

#[test]
fn decode_targets_that_the_publisher_stops_are_left() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(2, 2), false);
    subscriber.see_all(&publisher.picture(true, 0));
    subscriber.take_received();
    publisher.active = Some(0b000_111_111);
    publisher.spatial_layers = 3;
    let picture = publisher.picture(false, 0);
    subscriber.see_all(&picture[..4]);
    let received = subscriber.take_received();
    assert_eq!(subscriber.selector.current(), Some(Layer::new(1, 2)));
    assert!(received[3].marker);
    assert_eq!(subscriber.selector.waits_for(), None);
}

#[test]
fn loss_upstream_breaks_no_chain() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(1, 0), false);
    subscriber.see_all(&publisher.picture(true, 0));
    let lost = publisher.picture(false, 0);
    subscriber.see_all(&publisher.picture(false, 0));
    assert_eq!(subscriber.take_layers().len(), 4);
    assert_eq!(subscriber.selector.waits_for(), None);
    subscriber.see_all(&lost);
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0), Layer::new(1, 0)], "late but welcome");
}

#[test]
fn loss_among_left_out_frames_leaves_no_hole() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(0, 0), false);
    subscriber.see_all(&publisher.picture(true, 0));
    let picture = publisher.picture(false, 0);
    subscriber.see_all(&picture[..3]);
    subscriber.see_all(&publisher.picture(false, 0)[..3]);
    let received = subscriber.take_received();
    assert_eq!(received.len(), 6);
    let holes: Vec<u64> = received.windows(2).map(|pair| pair[1].seq - pair[0].seq - 1).collect();
    assert_eq!(holes, [0, 0, 0, 3, 0], "a whole frame is missing, of an unknown layer");
}

#[test]
fn structure_that_was_lost_is_asked_for() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(0, 0), false);
    subscriber.see_all(&publisher.picture(true, 0));
    publisher.restart(20, 600);
    let key = publisher.picture(true, 0);
    subscriber.see_all(&key[1..]);
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    subscriber.take_received();
    subscriber.see_all(&publisher.picture(true, 0));
    assert_eq!(subscriber.selector.waits_for(), None);
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0)]);
}

#[test]
fn late_packet_refers_to_the_structure_before() {
    let (mut subscriber, mut publisher) = l3t3(Layer::new(1, 1), false);
    subscriber.see_all(&publisher.picture(true, 0));
    let late = publisher.picture(false, 1);
    publisher.restart(30, 520);
    subscriber.see_all(&publisher.picture(true, 0));
    subscriber.take_received();
    subscriber.see_all(&late);
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 1), Layer::new(1, 1)]);
}

#[test]
fn simulcast_streams_continue_frame_numbers_and_do_not_share_template_ids() {
    let mut subscriber = Subscriber::new(Codec::Av1, Shape::Simulcast, Layer::new(1, 0));
    let mut low = Av1::new(1, 3, false);
    let mut high = Av1::new(1, 3, false);
    high.stream = Stream::new(1);
    high.restart(1, 9000);
    for (at, temporal) in PATTERN.into_iter().enumerate() {
        subscriber.see_all(&low.picture(at == 0, temporal));
    }
    assert_eq!(
        frame_numbers(&subscriber.take_received()),
        [501, 501, 502, 502, 503, 503, 504, 504]
    );
    for (at, temporal) in PATTERN.into_iter().enumerate() {
        subscriber.see_all(&high.picture(at == 0, temporal));
    }
    let received = subscriber.take_received();
    assert_eq!(frame_numbers(&received), [505, 505], "T0 of the target only");
    let key = received[0].descriptor.as_deref().unwrap();
    let structure = Structure::parse(key).unwrap();
    assert_eq!(structure.template_offset(), 3, "0 to 2 are taken");
    assert_eq!(announced(&received), [Some(0b001); 2]);
    let layer = structure.layers(Header::parse(key).unwrap().template_id);
    assert_eq!(layer.map(|layers| layers.temporal), Ok(0));
}

#[test]
fn stream_without_descriptors_passes_whole() {
    let mut subscriber = Subscriber::new(Codec::Av1, SVC, Layer::new(0, 0));
    let mut stream = Stream::new(0);
    subscriber.see_all(&stream.frame(vec![vec![0x08, 2, 0x0a, 0x0b, 2, 0x32, 1]], true));
    // A spatial layer by its OBU extension; nobody tells where its frame ends.
    subscriber.see_all(&stream.frame(vec![vec![0x10, 0x36, 0x08, 1]], true));
    assert_eq!(subscriber.take_received().len(), 2);
}
