use std::time::Duration;

use crate::codec::Codec;
use crate::layer::Layer;
use crate::layers::testing::{Subscriber, Vp8, Vp9, assert_contiguous};
use crate::layers::{Cause, Shape};

const TOP: Layer = Layer::new(2, 2);

fn vp8(target: Layer) -> (Subscriber, [Vp8; 3]) {
    (Subscriber::new(Codec::Vp8, Shape::Simulcast, target), [0, 1, 2].map(Vp8::new))
}

#[test]
fn starts_at_the_first_keyframe_and_steps_up() {
    let (mut subscriber, [mut low, mut middle, mut top]) = vp8(TOP);
    subscriber.see_all(&low.picture(false, 0, false));
    assert!(subscriber.take_received().is_empty(), "no keyframe yet");
    subscriber.see_all(&low.picture(true, 0, false));
    assert_eq!(subscriber.selector.waits_for(), Some(2));
    subscriber.see_all(&middle.picture(true, 0, false));
    subscriber.see_all(&low.picture(false, 0, false));
    subscriber.see_all(&top.picture(false, 0, false));
    subscriber.see_all(&top.picture(true, 0, false));
    subscriber.see_all(&middle.picture(false, 0, false));
    let received = subscriber.take_received();
    assert_eq!(received.iter().map(|p| p.stream).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2]);
    assert_contiguous(&received);
    let pictures: Vec<u16> = received.iter().filter_map(|packet| packet.picture).collect();
    assert_eq!(pictures, [102, 102, 103, 103, 104, 104]);
    assert_eq!(subscriber.selector.waits_for(), None);
    assert_eq!(subscriber.selector.current(), Some(TOP));
}

#[test]
fn no_step_down_but_to_the_target() {
    let (mut subscriber, [mut low, mut middle, mut top]) = vp8(TOP);
    subscriber.see_all(&top.picture(true, 0, false));
    subscriber.target(Layer::new(1, 2));
    assert_eq!(subscriber.selector.waits_for(), Some(1));
    subscriber.see_all(&low.picture(true, 0, false));
    subscriber.see_all(&top.picture(false, 0, false));
    assert_eq!(subscriber.selector.stream(), Some(2), "goes on meanwhile");
    let late = top.picture(false, 0, false);
    subscriber.see(&late[0]);
    let before = middle.picture(false, 0, false);
    subscriber.see_all(&middle.picture(true, 0, false));
    subscriber.see_all(&before);
    subscriber.see(&late[1]);
    assert_eq!(subscriber.switches, [(2, false), (1, true)], "the last picture was not complete");
    let received = subscriber.take_received();
    assert_eq!(received.last().map(|packet| packet.stream), Some(1));
    assert_eq!(received.len(), 4 + 1 + 2, "late and early ones are dropped");
}

#[test]
fn keyframe_whose_first_packet_is_lost_or_late_does_not_switch() {
    let (mut subscriber, [mut low, ..]) = vp8(TOP);
    let lost = low.picture(true, 0, false);
    subscriber.see(&lost[1]);
    subscriber.see(&lost[0]);
    subscriber.see_all(&low.picture(false, 0, false));
    assert!(subscriber.received.is_empty());
    assert_eq!(subscriber.selector.waits_for(), Some(2));
    subscriber.see_all(&low.picture(true, 0, false));
    assert_eq!(subscriber.received.len(), 2);
}

#[test]
fn refused_switch_changes_nothing() {
    let (mut subscriber, [mut low, mut middle, _]) = vp8(TOP);
    subscriber.see_all(&low.picture(true, 0, false));
    subscriber.refuse = true;
    subscriber.see_all(&middle.picture(true, 0, false));
    subscriber.see_all(&low.picture(false, 0, false));
    assert_eq!(subscriber.selector.stream(), Some(0));
    assert_contiguous(&subscriber.take_received());
}

#[test]
fn dead_layer_is_left_for_any_keyframe_below() {
    let (mut subscriber, [mut low, mut middle, mut top]) = vp8(TOP);
    subscriber.see_all(&top.picture(true, 0, false));
    subscriber.selector.set_live(0b011);
    assert_eq!(subscriber.selector.waits_for(), Some(1));
    assert_eq!(subscriber.selector.interest(), 0b111);
    subscriber.see_all(&low.picture(true, 0, false));
    subscriber.see_all(&middle.picture(true, 0, false));
    assert_eq!(subscriber.selector.stream(), Some(1));
    subscriber.selector.set_live(0b111);
    assert_eq!(subscriber.selector.waits_for(), Some(2), "it came back");
    subscriber.see_all(&top.picture(true, 0, false));
    assert_eq!(subscriber.selector.current(), Some(TOP));
}

#[test]
fn congestion_drops_frames_at_once_and_stops_if_it_goes_on() {
    let ms = Duration::from_millis;
    let (mut subscriber, [mut low, _, mut top]) = vp8(TOP);
    let start = subscriber.start;
    top.pattern(true).iter().for_each(|picture| subscriber.see_all(picture));
    assert_eq!(subscriber.take_layers().len(), 4);
    subscriber.selector.set_target(Some(Layer::new(0, 2)), Cause::Congestion, start);
    top.pattern(false).iter().for_each(|picture| subscriber.see_all(picture));
    assert_eq!(subscriber.take_layers(), [Layer::new(2, 0)], "only the lowest frame rate");
    assert!(!subscriber.selector.on_overload(start + ms(200)));
    subscriber.selector.set_target(Some(Layer::new(0, 1)), Cause::Congestion, start + ms(250));
    assert!(subscriber.selector.on_overload(start + ms(300)));
    subscriber.see_all(&top.picture(true, 0, false));
    assert_eq!(subscriber.selector.current(), None);
    subscriber.see_all(&low.picture(true, 0, false));
    assert_eq!(subscriber.take_layers(), [Layer::new(0, 0)]);
    assert!(!subscriber.selector.on_overload(start + ms(900)));
    assert_eq!(subscriber.selector.current(), Some(Layer::new(0, 1)));
}

#[test]
fn smaller_view_without_congestion_keeps_the_frame_rate_until_the_keyframe() {
    let (mut subscriber, [_, _, mut top]) = vp8(TOP);
    top.pattern(true).iter().for_each(|picture| subscriber.see_all(picture));
    subscriber.target(Layer::new(0, 0));
    top.pattern(false).iter().for_each(|picture| subscriber.see_all(picture));
    assert_eq!(subscriber.take_layers().len(), 8);
    assert!(!subscriber.selector.on_overload(subscriber.start + Duration::from_secs(9)));
}

#[test]
fn pause_ends_with_a_keyframe() {
    let (mut subscriber, [mut low, ..]) = vp8(TOP);
    subscriber.see_all(&low.picture(true, 0, false));
    subscriber.selector.set_target(None, Cause::Wish, subscriber.start);
    assert_eq!((subscriber.selector.interest(), subscriber.selector.waits_for()), (0, None));
    subscriber.see_all(&low.picture(true, 0, false));
    subscriber.target(Layer::new(0, 2));
    subscriber.see_all(&low.picture(false, 0, false));
    subscriber.see_all(&low.picture(true, 0, false));
    let received = subscriber.take_received();
    assert_eq!(received.len(), 4);
    assert_contiguous(&received);
}

#[test]
fn vp9_simulcast_goes_by_stream_whatever_the_packets_say() {
    let mut subscriber = Subscriber::new(Codec::Vp9, Shape::Simulcast, Layer::new(1, 2));
    let mut streams = [0, 1].map(|index| {
        let mut publisher = Vp9::new(1, false);
        publisher.stream = crate::layers::testing::Stream::new(index);
        publisher
    });
    for picture in 0..20 {
        for publisher in &mut streams {
            subscriber.see_all(&publisher.picture(picture % 10 == 0, 0, false));
        }
    }
    assert_eq!(subscriber.switches, [(0, false), (1, false)], "no endless change of streams");
    let received = subscriber.take_received();
    assert_contiguous(&received);
    assert!(received[2..].iter().all(|packet| packet.layer == Layer::new(1, 0)));
    assert_eq!(subscriber.selector.waits_for(), None);
}

#[test]
fn audio_starts_anywhere_and_passes_whole() {
    let mut subscriber = Subscriber::new(Codec::Opus, Shape::Simulcast, Layer::TOP);
    let mut stream = crate::layers::testing::Stream::new(0);
    assert_eq!(subscriber.selector.waits_for(), None);
    for _ in 0..5 {
        subscriber.see_all(&stream.frame(vec![vec![0x78, 1, 2]], true));
    }
    let received = subscriber.take_received();
    assert_eq!(received.len(), 5);
    assert_contiguous(&received);
}
