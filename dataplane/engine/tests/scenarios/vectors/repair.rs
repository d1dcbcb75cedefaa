//! Which NACKs are answered, and what RTX may carry.

use airside_engine::error::DropReason;

use super::stage::{Film, RTX, Seen, Stage, places, source};
use crate::encoders::Vp8;

fn numbers(seen: &[Seen]) -> Vec<u16> {
    seen.iter().map(|seen| seen.sequence).collect()
}

#[test]
fn a_repair_names_its_section_also_after_the_media_is_known() {
    let mut stage = Stage::new(602, 1);
    let mut film = Film::new(0);
    for picture in 0..70 {
        stage.send_all(&film.picture(picture == 0, 1));
        stage.sim.run_ms(33);
    }
    stage.seen();
    stage.send_all(&film.picture(true, 1));
    let (media, _) = stage.see();
    assert!(media.iter().all(|seen| seen.mid.as_deref() == Some("0")));
    stage.acknowledge(media[0].sequence);
    stage.send_all(&film.picture(false, 1));
    let (media, _) = stage.see();
    assert!(media.iter().all(|seen| seen.mid.is_none()), "known");

    stage.nack(&[media[0].sequence]);
    let (_, again) = stage.see();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].mid.as_deref(), Some("0"));
}

#[test]
fn what_is_asked_for_once_more_comes_twice() {
    let mut stage = Stage::new(603, 1);
    let mut film = Film::new(0);
    for picture in 0..70 {
        stage.send_all(&film.picture(picture == 0, 1));
        stage.sim.run_ms(33);
    }
    let (media, _) = stage.seen();
    let lost = media[media.len() - 3].sequence;
    let answer = |stage: &mut Stage| {
        let again = stage.repaired(&[lost]);
        again.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(answer(&mut stage), [lost]);
    stage.sim.run_ms(100);
    assert_eq!(answer(&mut stage), [lost, lost]);
}

#[test]
fn what_was_lost_comes_again_under_the_viewers_number_and_nothing_else_does() {
    let mut stage = Stage::new(601, 2);
    let (mut low, mut top) = (Vp8::new(0), Vp8::new(1));
    low.stream.seq = 500;
    top.stream.seq = 9000;
    // A layer counts once it has lived for two seconds.
    for picture in 0..70 {
        stage.send_all(&low.picture(picture == 0, 0, false));
        stage.send_all(&top.picture(picture == 0, 0, false));
        stage.sim.run_ms(33);
    }
    stage.report([low.stream.timestamp, top.stream.timestamp]);
    let (before, _) = stage.seen();
    stage.send_all(&top.picture(true, 0, false));
    for _ in 0..10 {
        stage.send_all(&top.picture(false, 0, false));
    }
    let (media, _) = stage.see();
    assert_eq!(media.len(), 2 + 20);
    let (first, last) = (media[0].sequence, media[media.len() - 1].sequence);

    // Lost: the same payload, in contiguous numbers of its own.
    stage.nack(&[last - 5, last - 2, last]);
    let (_, again) = stage.see();
    assert_eq!(places(&again), [0, 1, 2]);
    for (again, back) in again.iter().zip([5, 2, 0]) {
        let original = &media[media.len() - 1 - back];
        assert_eq!(again.payload[..2], original.sequence.to_be_bytes());
        assert_eq!(again.payload[2..], original.payload);
        assert_eq!((again.timestamp, again.marker), (original.timestamp, original.marker));
    }

    assert_eq!(stage.repaired(&[last + 1, last + 200]), [], "never sent");
    // What came before the switch is shown until the keyframe is whole, and then not any more.
    let old = &before[before.len() - 2..];
    let old: Vec<_> = old.iter().map(|seen| (seen.sequence, seen.payload.clone())).collect();
    assert_eq!(stage.repaired(&[first - 2, first - 1]), old);
    stage.sim.run_ms(300);
    assert_eq!(stage.repaired(&[first - 2, first - 1]), [], "long before the switch");

    // Ten times in 50 ms: once.
    for _ in 0..10 {
        stage.nack(&[last - 1]);
        stage.sim.run_ms(5);
    }
    assert_eq!(stage.see().1.len(), 1);

    // Left out: temporal layers and padding have no numbers.
    stage.wish(720, 0);
    let mut wanted = 0;
    for _ in 0..8 {
        for picture in top.pattern(false) {
            stage.send_all(&picture);
        }
        wanted += 2;
        let mut padding = top.picture(false, 0, false)[0].clone();
        top.stream.seq -= 1;
        padding.payload.clear();
        stage.send(&padding);
    }
    let (media, _) = stage.see();
    assert_eq!(media.len(), wanted);
    assert_eq!(places(&media), (0..wanted as u16).collect::<Vec<_>>());
    assert_eq!(media[0].sequence, last + 1);
    let last = media[media.len() - 1].sequence;
    let answered = stage.repaired(&numbers(&media));
    assert_eq!(answered.iter().map(|(number, _)| *number).collect::<Vec<_>>(), numbers(&media));

    // A switch in the middle of a picture leaves a hole, which is nobody's number.
    stage.wish(720, 3);
    stage.send(&top.picture(false, 0, false)[0]);
    stage.wish(180, 3);
    low.stream.timestamp = top.stream.timestamp;
    stage.report([low.stream.timestamp, top.stream.timestamp]);
    stage.send_all(&low.picture(true, 0, false));
    let (media, _) = stage.see();
    assert_eq!(numbers(&media), [last + 1, last + 3, last + 4]);
    assert_eq!(stage.repaired(&[last + 2]), [], "the hole");
    assert_eq!(stage.repaired(&[last + 1]), [], "of the source before");
    assert_eq!(stage.repaired(&[last + 3]).len(), 1);

    // What a keyframe makes superfluous.
    let last = last + 4;
    stage.send_all(&low.picture(false, 0, false));
    stage.send_all(&low.picture(true, 0, false));
    assert_eq!(stage.see().0.len(), 4);
    assert_eq!(stage.repaired(&[last + 1]).len(), 1, "until it must have come");
    stage.sim.run_ms(300);
    assert_eq!(stage.repaired(&[last + 1, last + 2]), [], "before the keyframe");
    assert_eq!(stage.repaired(&[last + 3]).len(), 1);

    // While paused, and after it.
    stage.wish(0, 3);
    assert_eq!(stage.repaired(&[last + 4]), [], "paused");
    stage.wish(180, 3);
    stage.send_all(&low.picture(true, 0, false));
    let (media, _) = stage.see();
    assert_eq!(media.len(), 2);
    assert_eq!(stage.repaired(&[media[1].sequence]).len(), 1);
    assert_eq!(stage.sim.failures(), Vec::<String>::new());
}

#[test]
fn a_nack_for_300_numbers_is_read_up_to_256_and_what_has_left_the_cache_is_gone() {
    let mut stage = Stage::new(602, 1);
    let mut film = Film::new(0);
    stage.send_all(&film.picture(true, 2));
    let mut media = Vec::new();
    for _ in 0..400 {
        stage.send_all(&film.picture(false, 2));
        stage.sim.run_ms(5);
        media.extend(stage.seen().0);
    }
    media.extend(stage.see().0);
    assert_eq!(media.len(), 802);
    assert_eq!(stage.repaired(&numbers(&media[2..4])), [], "evicted");
    let newest = numbers(&media[502..]);
    let answered = stage.repaired(&newest);
    assert_eq!(answered.len(), 256);
    assert!(answered.iter().zip(&newest).all(|((number, _), asked)| number == asked));
}

#[test]
fn retransmissions_of_a_publisher_fill_gaps_and_nothing_else() {
    let mut stage = Stage::new(603, 1);
    let mut film = Film::new(0);
    let repair =
        |number: u64, payload: &[u8]| [&(number as u16).to_be_bytes()[..], payload].concat();
    // The stream's very first packet.
    let key = film.picture(true, 2);
    stage.send_rtx(10, repair(key[0].seq, &key[0].payload));
    assert_eq!(stage.see(), (vec![], vec![]));
    // Padding only, with and without an original number.
    let before = stage.sim.dropped(0, DropReason::PaddingOnly);
    stage.send_rtx(11, Vec::new());
    stage.send_rtx(12, repair(0, &[]));
    assert_eq!(stage.sim.dropped(0, DropReason::PaddingOnly), before + 2);
    // Of no stream at all.
    let stray = stage.protect(4711, RTX + 1, &key[0]);
    stage.publisher.send(&mut stage.sim, &stray);
    assert_eq!(stage.sim.dropped(0, DropReason::RtpUnknownSsrc), 1);
    assert_eq!(stage.see(), (vec![], vec![]));

    stage.send_all(&key);
    let delta = film.picture(false, 3);
    stage.send_all(&[delta[0].clone(), delta[2].clone()]);
    stage.send_rtx(13, repair(delta[1].seq, &delta[1].payload));
    let (media, _) = stage.see();
    assert_eq!(places(&media), [0, 1, 2, 4, 3]);
    let sources: Vec<u64> = media.iter().map(source).collect();
    assert_eq!(sources, [1000, 1001, 1002, 1004, 1003]);
    // The original may come all the same, and again.
    stage.send(&delta[1]);
    stage.send_rtx(14, repair(delta[1].seq, &delta[1].payload));
    assert_eq!(stage.see(), (vec![], vec![]));
}
