//! Which layers of a published track anybody wants, so that its encoder can leave out the rest.
//!
//! More is asked for at once; less only after a while, since a layer that was stopped takes a
//! keyframe and a second to come back (as in LiveKit's dynacast).

use std::time::{Duration, Instant};

use crate::command::Wish;

/// Less is asked for after nobody has wanted more for this long.
const LOWER_AFTER: Duration = Duration::from_secs(5);

/// The best spatial layer that a wish asks for, of a track's layers by height, lowest first,
/// whether they come or not. `None`: nothing. Heights of 0 are unknown: 180 for the lowest, each next
/// twice as tall.
#[must_use]
pub fn wanted_layer(wish: &Wish, heights_px: &[u16]) -> Option<u8> {
    const ASSUMED_LOWEST_HEIGHT_PX: u16 = 180;
    if wish.paused || wish.max_height_px == 0 || heights_px.is_empty() {
        return None;
    }
    let fits = |(index, height): &(usize, &u16)| {
        let known =
            if **height == 0 { ASSUMED_LOWEST_HEIGHT_PX << *index.min(&3) } else { **height };
        known <= wish.max_height_px
    };
    let best = heights_px.iter().enumerate().rfind(fits).map_or(0, |(index, _)| index);
    Some(best as u8)
}

/// What the publisher of one track is asked for. In the beginning it sends everything, unasked.
#[derive(Debug)]
pub struct Dynacast {
    /// The best layer it should send, as far as it knows.
    told: Option<u8>,
    wanted: Option<u8>,
    /// Since when less is wanted than was told.
    lower_since: Option<Instant>,
}

impl Dynacast {
    /// `best`: index of the track's best layer.
    #[must_use]
    pub fn new(best: u8) -> Self {
        Self { told: Some(best), wanted: Some(best), lower_since: None }
    }

    /// The best layer that any subscriber wants now; `None`: nobody wants anything.
    ///
    /// Gives what to tell the publisher, if that changed: the best layer it should send.
    pub fn update(&mut self, wanted: Option<u8>, now: Instant) -> Option<Option<u8>> {
        self.wanted = wanted;
        if wanted > self.told {
            return Some(self.tell());
        }
        if wanted == self.told {
            self.lower_since = None;
            return None;
        }
        self.lower_since.get_or_insert(now);
        self.handle_timeout(now)
    }

    /// Tells less when it is time; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Option<u8>> {
        let due = self.lower_since.is_some_and(|since| now >= since + LOWER_AFTER);
        due.then(|| self.tell())
    }

    /// When to call `handle_timeout`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lower_since.map(|since| since + LOWER_AFTER)
    }

    /// The best layer the publisher is to send; `None`: none at all.
    #[must_use]
    pub fn told(&self) -> Option<u8> {
        self.told
    }

    fn tell(&mut self) -> Option<u8> {
        self.lower_since = None;
        self.told = self.wanted;
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(max_height_px: u16) -> Wish {
        Wish {
            max_height_px,
            max_temporal: 2,
            priority: 100,
            may_pause: true,
            paused: false,
            keyframe_interval_ms: 0,
        }
    }

    #[test]
    fn a_wish_names_the_tallest_layer_that_fits() {
        let heights = [180, 360, 720];
        assert_eq!(wanted_layer(&wish(2000), &heights), Some(2));
        assert_eq!(wanted_layer(&wish(719), &heights), Some(1));
        assert_eq!(wanted_layer(&wish(90), &heights), Some(0));
        assert_eq!(wanted_layer(&wish(0), &heights), None);
        assert_eq!(wanted_layer(&Wish { paused: true, ..wish(720) }, &heights), None);
        assert_eq!(wanted_layer(&wish(720), &[]), None);
        assert_eq!(wanted_layer(&wish(400), &[0, 0, 0]), Some(1));
    }

    #[test]
    fn more_is_told_at_once_and_less_after_five_seconds() {
        let (mut dynacast, now) = (Dynacast::new(2), Instant::now());
        assert_eq!(dynacast.update(Some(2), now), None, "it sends all of them from the start");
        assert_eq!(dynacast.update(Some(0), now), None);
        assert_eq!(dynacast.poll_timeout(), Some(now + LOWER_AFTER));
        assert_eq!(dynacast.handle_timeout(now + LOWER_AFTER / 2), None);
        assert_eq!(dynacast.handle_timeout(now + LOWER_AFTER), Some(Some(0)));
        assert_eq!(dynacast.update(Some(1), now + LOWER_AFTER), Some(Some(1)));
    }

    #[test]
    fn a_wish_that_comes_back_in_time_changes_nothing() {
        let (mut dynacast, now) = (Dynacast::new(2), Instant::now());
        dynacast.update(None, now);
        assert_eq!(dynacast.update(Some(2), now + LOWER_AFTER / 2), None);
        assert_eq!(dynacast.handle_timeout(now + LOWER_AFTER * 2), None);
        assert_eq!(dynacast.update(None, now + LOWER_AFTER * 2), None);
        assert_eq!(dynacast.handle_timeout(now + LOWER_AFTER * 3), Some(None));
    }

    #[test]
    fn a_track_that_nobody_takes_stops_after_a_while_and_starts_at_once() {
        let (mut dynacast, now) = (Dynacast::new(0), Instant::now());
        assert_eq!(dynacast.update(None, now), None);
        assert_eq!(dynacast.handle_timeout(now + LOWER_AFTER), Some(None));
        assert_eq!(dynacast.update(None, now + LOWER_AFTER), None);
        assert_eq!(dynacast.poll_timeout(), None);
        assert_eq!(dynacast.update(Some(0), now + LOWER_AFTER), Some(Some(0)));
    }
}
