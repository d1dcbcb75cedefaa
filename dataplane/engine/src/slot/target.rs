//! Which track a slot carries, and the highest of its layers that it forwards. Which packets that
//! makes is decided in [`crate::layers`].

use std::time::{Duration, Instant};

use super::{Bound, Slot};
use crate::codec::Codec;
use crate::command::{MediaKind, Wish};
use crate::layer::Layer;
use crate::layers::{Cause, Selector};
use crate::packet::WRAPPED;
use crate::timestamps::Situation;
use crate::track::Track;

impl Slot {
    /// Carries `track` from now on. False if it shares no codec with the subscriber.
    pub(crate) fn bind(&mut self, key: usize, track: &Track, wish: Wish) -> bool {
        if self.bound.as_ref().is_some_and(|bound| bound.track == key) {
            self.set_wish(wish);
            return true;
        }
        let payload_types = self.payload_types(&track.codecs);
        if payload_types.iter().all(Option::is_none) {
            return false;
        }
        let fixed_layer = self.rid.and_then(|rid| {
            track.layers.iter().position(|layer| layer.rid == Some(rid)).map(|at| at as u8)
        });
        self.generation += 1;
        self.former = None;
        self.allocation = None;
        self.codec = None;
        self.live = all_if_none(track.live_streams());
        let red = track.codecs.iter().position(|codec| codec.codec == Codec::Red);
        let red = red.map(|red| red as u8);
        self.bound = Some(Bound { track: key, wish, payload_types, fixed_layer, red });
        true
    }

    /// The subscriber wants something else of the same track.
    pub(crate) fn set_wish(&mut self, wish: Wish) {
        let Some(bound) = &mut self.bound else { return };
        bound.wish = wish;
        self.selector.set_keyframes_only(self.keyframe_interval().is_some());
    }

    /// How often a subscriber of keyframes alone wants one. Sound has none to wait for.
    fn keyframe_interval(&self) -> Option<Duration> {
        let interval = self.bound.as_ref()?.wish.keyframe_interval_ms;
        let some = interval > 0 && self.kind == MediaKind::Video;
        some.then(|| Duration::from_millis(interval.into()))
    }

    /// The stream of which a subscriber of keyframes alone is due the next one.
    pub(crate) fn due_keyframe(&self, now: Instant) -> Option<u8> {
        let (interval, last) = self.keyframe_interval().zip(self.last_keyframe)?;
        self.stream().filter(|_| now.saturating_duration_since(last) >= interval)
    }

    /// Carries nothing from now on. Returns the track it carried.
    pub(crate) fn unbind(&mut self, track: Option<&Track>) -> Option<usize> {
        if let (Some(track), Some(layer)) = (track, self.last_layer()) {
            self.last_clock = track.layers.get(usize::from(layer)).and_then(|layer| layer.clock);
        }
        self.stop(Situation::Rebound);
        self.target = None;
        self.bound.take().map(|bound| bound.track)
    }

    /// What the wish alone would have: where no allocator runs, the target.
    pub(crate) fn wanted(&self, track: &Track) -> Option<Layer> {
        let bound = self.bound.as_ref()?;
        let spatial = match bound.fixed_layer {
            _ if bound.wish.paused => None,
            Some(layer) => Some(layer),
            None => track.choose_layer(bound.wish.max_height_px),
        };
        spatial.map(|spatial| Layer::new(spatial, bound.wish.max_temporal))
    }

    /// The highest layers to forward from now on; None pauses, and what follows is a new start.
    ///
    /// What is forwarded follows at keyframes and switching points; lower layers stand in for one
    /// that does not come.
    pub(crate) fn set_target(&mut self, target: Option<Layer>, cause: Cause, now: Instant) {
        if target.is_none() {
            self.stop(Situation::Resumed);
        }
        self.target = target;
        self.selector.set_target(target, cause, now);
    }

    /// The network still cannot take what is sent. A downgrade that has waited too long for its
    /// keyframe becomes a pause until that comes; true if so.
    pub(crate) fn on_overload(&mut self, now: Instant) -> bool {
        let before = self.stream();
        let stops = self.selector.on_overload(now);
        if stops && before.is_some() {
            self.situation = Situation::Resumed;
        }
        stops
    }

    /// Which streams of the track have packets has changed.
    pub(crate) fn follow_live(&mut self, track: &Track) {
        self.live = all_if_none(track.live_streams());
        self.selector.set_live(self.live);
    }

    /// The publisher sends this codec now: another one needs another way to tell layers.
    pub(super) fn follow_codec(&mut self, index: u8, track: &Track, now: Instant) {
        let codec = |index: u8| match index {
            WRAPPED => Some(Codec::Red),
            _ => track.codecs.get(usize::from(index)).map(|codec| codec.codec),
        };
        let before = self.codec.replace(index).and_then(codec);
        let Some(codec) = codec(index) else { return };
        let sound = |codec: Codec| !codec.is_video();
        if before.is_some_and(|before| before == codec || sound(before) && sound(codec)) {
            return;
        }
        self.stop(Situation::Rebound);
        self.renew_selector(codec, track, now);
    }

    /// The track's spatial layers turned out to be inside one stream, or the other way round.
    pub(crate) fn follow_shape(&mut self, track: &Track, now: Instant) {
        let codec = self.codec.and_then(|index| track.codecs.get(usize::from(index)));
        let Some(codec) = codec.filter(|_| !self.publishes) else { return };
        if self.selector.shape().is_svc() != track.shape().is_svc() {
            self.stop(Situation::Resumed);
            self.renew_selector(codec.codec, track, now);
        }
    }

    fn renew_selector(&mut self, codec: Codec, track: &Track, now: Instant) {
        let mut selector = match self.publishes {
            true => Selector::whole(codec),
            false => Selector::new(codec, track.shape()),
        };
        selector.set_live(self.live);
        selector.set_keyframes_only(self.keyframe_interval().is_some());
        selector.set_target(self.target, Cause::Wish, now);
        self.selector = selector;
    }

    /// The layer of the bound track that was forwarded last.
    pub(super) fn last_layer(&self) -> Option<u8> {
        let last = self.last_source?;
        let layer = (last & 7) as u8;
        (last == self.source(layer)).then_some(layer)
    }

    /// Forwards nothing until the next start.
    pub(super) fn stop(&mut self, situation: Situation) {
        if self.stream().is_some() {
            self.situation = situation;
        }
        self.selector.stop();
    }

    /// The stream whose keyframe would bring what is wanted, if it waits for one.
    pub(crate) fn waits_for(&self) -> Option<u8> {
        if self.kind == MediaKind::Audio {
            return None;
        }
        match self.fixed_layer() {
            Some(layer) => (self.target.is_some() && self.stream().is_none()).then_some(layer),
            None => self.selector.waits_for(),
        }
    }

    /// Bit per stream whose packets this slot wants to see.
    pub(crate) fn interest(&self) -> u8 {
        let only = self.fixed_layer().map_or(u8::MAX, |layer| 1 << layer);
        self.selector.interest() & only
    }

    fn fixed_layer(&self) -> Option<u8> {
        self.bound.as_ref()?.fixed_layer
    }
}

/// Before anything comes, everything may.
fn all_if_none(live: u8) -> u8 {
    if live == 0 { u8::MAX } else { live }
}
