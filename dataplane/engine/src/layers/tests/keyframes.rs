//! Keyframes alone, and everything again.

use crate::codec::Codec;
use crate::layer::Layer;
use crate::layers::Shape;
use crate::layers::testing::{Subscriber, Vp8, Vp9, assert_contiguous};

#[test]
fn only_keyframes_pass_and_everything_again_from_the_next_one() {
    let mut publisher = Vp8::new(0);
    let mut subscriber = Subscriber::new(Codec::Vp8, Shape::Simulcast, Layer::new(0, 7));
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.selector.set_keyframes_only(true);
    for _ in 0..10 {
        subscriber.see_all(&publisher.picture(false, 0, false));
    }
    subscriber.see_all(&publisher.picture(true, 0, false));
    assert_eq!(subscriber.selector.waits_for(), None, "when to ask is the caller's to know");
    subscriber.selector.set_keyframes_only(false);
    assert_eq!(subscriber.selector.waits_for(), Some(0));
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.see_all(&publisher.picture(true, 0, false));
    assert_eq!(subscriber.selector.waits_for(), None);
    subscriber.see_all(&publisher.picture(false, 0, false));
    let received = subscriber.take_received();
    assert_contiguous(&received);
    let pictures: Vec<_> = received.iter().filter_map(|packet| packet.picture).collect();
    assert_eq!(pictures, [101, 101, 102, 102, 103, 103, 104, 104]);
}

#[test]
fn lower_layer_of_keyframe_only_svc_after_keyframes_alone() {
    let mut publisher = Vp9::new(3, true);
    let shape = Shape::Svc { key_only: None };
    let mut subscriber = Subscriber::new(Codec::Vp9, shape, Layer::TOP);
    subscriber.see_all(&publisher.picture(true, 0, false));
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.selector.set_keyframes_only(true);
    subscriber.target(Layer::new(1, 7));
    for _ in 0..5 {
        subscriber.see_all(&publisher.picture(false, 0, false));
        subscriber.see_all(&publisher.picture(true, 0, false));
    }
    subscriber.selector.set_keyframes_only(false);
    subscriber.see_all(&publisher.picture(false, 0, false));
    subscriber.see_all(&publisher.picture(true, 0, false));
    assert_eq!(subscriber.selector.waits_for(), None);
    subscriber.take_received();
    for _ in 0..5 {
        subscriber.see_all(&publisher.picture(false, 0, false));
        assert_eq!(subscriber.take_layers(), [Layer::new(1, 0)]);
        assert_eq!(subscriber.selector.waits_for(), None);
    }
}
