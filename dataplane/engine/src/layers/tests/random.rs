//! Any loss, reordering and changes of mind: the output stays a true, orderly map of the source.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::codec::Codec;
use crate::codec::dependency_descriptor::{Frame, Header, Structure};
use crate::layer::Layer;
use crate::layers::testing::{Av1, Sent, Subscriber, Vp8, Vp9};
use crate::layers::{Cause, Shape};

/// Pictures of one publisher; some are keyframes.
fn pictures(kind: u8, keys: &[bool]) -> Vec<Vec<Sent>> {
    let pattern = [0, 2, 1, 2];
    let mut vp8 = [Vp8::new(0), Vp8::new(1)];
    let mut vp9 = Vp9::new(3, kind == 2);
    vp9.flexible = kind == 3;
    let mut av1 = Av1::new(3, 3, kind == 5);
    let mut all = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let key = *key || at == 0;
        let temporal = if key { 0 } else { pattern[at % 4] };
        match kind {
            0 => {
                for publisher in &mut vp8 {
                    all.push(publisher.picture(key, temporal, temporal > 0));
                }
            }
            1..=3 => all.push(vp9.picture(key, temporal, temporal > 0)),
            _ => all.push(av1.picture(key, temporal)),
        }
    }
    all
}

fn shape(kind: u8) -> (Codec, Shape) {
    match kind {
        0 => (Codec::Vp8, Shape::Simulcast),
        1..=3 => (Codec::Vp9, Shape::Svc { key_only: None }),
        _ => (Codec::Av1, Shape::Svc { key_only: None }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn output_is_orderly(
        kind in 0u8..6,
        keys in prop::collection::vec(prop::bool::weighted(0.1), 10..80),
        fates in prop::collection::vec((0u8..20, 0usize..12), 1000),
        wishes in prop::collection::vec((0u8..4, 0u8..3, any::<bool>()), 80),
    ) {
        let pictures = pictures(kind, &keys);
        // Fate 0: lost; 1: late by the delay; else in time. Wishes change with pictures.
        let mut order: Vec<(usize, usize, Sent)> = Vec::new();
        let mut at = 0;
        for (picture, packets) in pictures.into_iter().enumerate() {
            for packet in packets {
                let (fate, delay) = fates[at % fates.len()];
                let late = if fate == 1 { delay } else { 0 };
                if fate > 0 {
                    order.push((at + late, picture, packet));
                }
                at += 1;
            }
        }
        order.sort_by_key(|(at, ..)| *at);

        let (codec, shape) = shape(kind);
        let mut subscriber = Subscriber::new(codec, shape, Layer::new(2, 2));
        let mut segment = 0;
        let mut outs: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for (at, (_, picture, packet)) in order.iter().enumerate() {
            if at % 7 == 0 {
                let (spatial, temporal, congested) = wishes[*picture % wishes.len()];
                let target = (spatial < 3).then_some(Layer::new(spatial, temporal));
                let cause = if congested { Cause::Congestion } else { Cause::Wish };
                subscriber.selector.set_target(target, cause, subscriber.start);
            }
            let switches = subscriber.switches.len();
            subscriber.see(packet);
            segment += usize::from(subscriber.switches.len() > switches);
            for received in subscriber.take_received() {
                let before = outs.insert((segment, received.source), received.seq);
                prop_assert!(before.is_none(), "sent twice");
            }
        }
        let sent: Vec<u64> = outs.values().copied().collect();
        prop_assert!(sent.windows(2).all(|pair| pair[0] < pair[1]), "order of the source");
        // The last segment's numbers lead back to their packets.
        for ((of, source), out) in outs.iter().rev().take_while(|((of, _), _)| *of == segment) {
            prop_assert_eq!(*of, segment);
            prop_assert_eq!(subscriber.map.source_of(*out).map(|found| found.seq), Some(*source));
        }
    }

    /// Without loss nothing is missing, whatever the subscriber wants from picture to picture.
    #[test]
    fn every_frame_of_av1_finds_what_it_refers_to(
        key_only in any::<bool>(),
        keys in prop::collection::vec(prop::bool::weighted(0.1), 10..80),
        wishes in prop::collection::vec((0u8..3, 0u8..3, any::<bool>()), 80),
    ) {
        let mut subscriber =
            Subscriber::new(Codec::Av1, Shape::Svc { key_only: None }, Layer::new(2, 2));
        let mut frames = BTreeSet::new();
        let mut structure = None;
        let mut last = None;
        for (at, picture) in pictures(4 + u8::from(key_only), &keys).into_iter().enumerate() {
            let (spatial, temporal, within) = wishes[at % wishes.len()];
            let middle = if within { picture.len() / 2 } else { 0 };
            subscriber.see_all(&picture[..middle]);
            subscriber.target(Layer::new(spatial, temporal));
            subscriber.see_all(&picture[middle..]);
            let received = subscriber.take_received();
            for packet in &received {
                let data = packet.descriptor.as_deref().unwrap();
                let header = Header::parse(data).unwrap();
                if header.has_structure {
                    structure = Structure::parse(data).ok();
                }
                let frame = Frame::parse(data, structure.as_ref().unwrap()).unwrap();
                for distance in frame.references.distances() {
                    prop_assert!(frames.contains(&(header.frame_number - distance)));
                }
                frames.insert(header.frame_number);
                prop_assert!(last.is_none_or(|last| packet.seq == last + 1));
                last = Some(packet.seq);
            }
            let markers = received.iter().filter(|packet| packet.marker).count();
            prop_assert_eq!(markers, usize::from(!received.is_empty()));
            prop_assert!(received.last().is_none_or(|packet| packet.marker));
        }
    }
}
