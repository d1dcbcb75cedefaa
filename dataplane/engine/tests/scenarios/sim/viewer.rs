//! What a subscriber sees of a video track: which pictures can be decoded, and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airside_engine::codec::Keyframe;
use airside_engine::packet::SourcePacket;

#[derive(Debug)]
struct Picture {
    first: u64,
    last: u64,
    packets: u64,
    keyframe: bool,
    starts: bool,
    ends: bool,
    complete_at: Instant,
}

/// When each picture was shown, of a stream in which every picture refers to the one before it: it
/// must be whole, and so must be all since the last keyframe.
pub fn shown(packets: &[Arc<SourcePacket>]) -> Vec<Instant> {
    let mut pictures: BTreeMap<u64, Picture> = BTreeMap::new();
    let mut sorted: Vec<_> = packets.iter().collect();
    sorted.sort_by_key(|packet| packet.ext_seq);
    for run in sorted.chunk_by(|a, b| a.timestamp == b.timestamp) {
        let (first, last) = (run[0], run[run.len() - 1]);
        let picture = Picture {
            first: first.ext_seq,
            last: last.ext_seq,
            packets: run.len() as u64,
            keyframe: first.frame.keyframe == Keyframe::Yes,
            starts: first.frame.start,
            ends: last.marker,
            complete_at: run.iter().map(|packet| packet.arrival).max().unwrap(),
        };
        pictures.insert(picture.first, picture);
    }
    let (mut times, mut last_good): (Vec<Instant>, Option<u64>) = (Vec::new(), None);
    for picture in pictures.values() {
        let whole =
            picture.starts && picture.ends && picture.last - picture.first + 1 == picture.packets;
        let follows = last_good.is_some_and(|last| last + 1 == picture.first);
        if whole && (picture.keyframe || follows) {
            last_good = Some(picture.last);
            // It waits for the one before it.
            let before = times.last().copied();
            times.push(before.map_or(picture.complete_at, |at| at.max(picture.complete_at)));
        } else {
            last_good = None;
        }
    }
    times
}

/// Whether nothing more can be shown for want of an earlier packet that did not come within
/// `patience`. `packets` begin with the newest keyframe.
pub fn is_stuck(packets: &[Arc<SourcePacket>], now: Instant, patience: Duration) -> bool {
    let (Some(first), Some(last)) = (packets.first(), packets.last()) else { return false };
    let starved = now - last.arrival >= patience;
    let progress = shown(packets).last().copied().unwrap_or(first.arrival);
    !starved && now - progress >= patience
}

/// The longest time without a new picture from `from` to `to`.
pub fn longest_freeze(packets: &[Arc<SourcePacket>], from: Instant, to: Instant) -> Duration {
    let mut times: Vec<Instant> =
        shown(packets).into_iter().filter(|at| (from..to).contains(at)).collect();
    times.push(to);
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(to - from)
}
