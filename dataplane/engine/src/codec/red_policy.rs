//! In which form a subscriber gets a track's audio: as published, unwrapped from RED, or wrapped.

use super::red_encode::MAX_DISTANCE;
use crate::units::Bitrate;

/// Loss from which repeating frames is worth its bits ...
const WRAP_LOSS: f32 = 0.03;
/// ... from which two are repeated, since losses come in runs ...
const WRAP_TWICE_LOSS: f32 = 0.05;
/// ... and under which it ends.
const UNWRAP_LOSS: f32 = 0.01;
/// Redundancy takes up to 64 kbit/s more; below this video needs them.
const MIN_ESTIMATE: Bitrate = Bitrate::kbps(400);
/// It comes back from here on.
const RESUME_ESTIMATE: Bitrate = Bitrate::kbps(500);

/// A form of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioForm {
    /// The publisher's payload.
    AsPublished,
    /// Opus out of the publisher's RED.
    Unwrapped,
    /// The publisher's Opus in RED.
    Wrapped {
        /// Frames repeated in each packet.
        distance: u8,
    },
}

/// What is known of a track and of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AudioLink {
    /// Payloads are end-to-end encrypted: never unwrapped or wrapped.
    pub encrypted: bool,
    /// The publisher sends RED.
    pub published_red: bool,
    /// The subscriber takes RED.
    pub takes_red: bool,
    /// The subscriber takes Opus.
    pub takes_opus: bool,
    /// Part of the packets that the subscriber loses, 0 to 1.
    pub loss: f32,
    /// What the subscriber's link can take.
    pub estimate: Bitrate,
}

impl AudioLink {
    /// The form to send from now on, None if there is none that the subscriber can play. `now`: the
    /// form it gets; changes need a clearer reason than staying.
    #[must_use]
    pub fn form(&self, now: AudioForm) -> Option<AudioForm> {
        let may_change = !self.encrypted && self.takes_opus;
        match (self.published_red, self.takes_red) {
            (false, _) if !self.takes_opus => None,
            (false, true) if may_change => Some(self.wrap(now)),
            (false, _) => Some(AudioForm::AsPublished),
            (true, true) => {
                let room = self.has_room(now != AudioForm::Unwrapped);
                let strip = may_change && !room;
                Some(if strip { AudioForm::Unwrapped } else { AudioForm::AsPublished })
            }
            (true, false) => may_change.then_some(AudioForm::Unwrapped),
        }
    }

    fn wrap(&self, now: AudioForm) -> AudioForm {
        let distance_now = match now {
            AudioForm::Wrapped { distance } => distance,
            AudioForm::AsPublished | AudioForm::Unwrapped => 0,
        };
        if !self.has_room(distance_now > 0) {
            return AudioForm::AsPublished;
        }
        let distance = match self.loss {
            loss if loss > WRAP_TWICE_LOSS => MAX_DISTANCE,
            loss if loss > WRAP_LOSS => distance_now.max(1),
            loss if loss >= UNWRAP_LOSS => distance_now,
            _ => 0,
        };
        if distance > 0 { AudioForm::Wrapped { distance } } else { AudioForm::AsPublished }
    }

    fn has_room(&self, redundant_now: bool) -> bool {
        self.estimate >= if redundant_now { MIN_ESTIMATE } else { RESUME_ESTIMATE }
    }
}

#[cfg(test)]
mod tests {
    use super::AudioForm::{AsPublished, Unwrapped, Wrapped};
    use super::*;

    const ONE: AudioForm = Wrapped { distance: 1 };
    const TWO: AudioForm = Wrapped { distance: 2 };
    const OPUS: AudioLink = AudioLink {
        encrypted: false,
        published_red: false,
        takes_red: true,
        takes_opus: true,
        loss: 0.0,
        estimate: Bitrate::mbps(1),
    };
    const RED: AudioLink = AudioLink { published_red: true, ..OPUS };

    #[test]
    fn what_can_be_played_at_all() {
        let opus_only = |link| AudioLink { takes_red: false, ..link };
        let red_only = |link| AudioLink { takes_opus: false, ..link };
        let encrypted = |link| AudioLink { encrypted: true, loss: 0.1, ..link };
        let rows = [
            (OPUS, Some(AsPublished)),
            (opus_only(OPUS), Some(AsPublished)),
            (red_only(OPUS), None),
            (encrypted(OPUS), Some(AsPublished)),
            (RED, Some(AsPublished)),
            (opus_only(RED), Some(Unwrapped)),
            (red_only(RED), Some(AsPublished)),
            (encrypted(RED), Some(AsPublished)),
            (encrypted(opus_only(RED)), None),
        ];
        for (link, expected) in rows {
            assert_eq!(link.form(AsPublished), expected, "{link:?}");
        }
    }

    #[test]
    fn redundancy_follows_loss_and_room_without_flapping() {
        // loss, kbit/s, form now; form of an Opus track
        let rows = [
            (0.02, 1000, AsPublished, AsPublished),
            (0.04, 1000, AsPublished, ONE),
            (0.02, 1000, ONE, ONE),
            (0.06, 1000, ONE, TWO),
            (0.04, 1000, TWO, TWO),
            (0.005, 1000, TWO, AsPublished),
            (0.06, 450, AsPublished, AsPublished),
            (0.06, 450, TWO, TWO),
            (0.06, 390, TWO, AsPublished),
        ];
        for (loss, kbps, now, expected) in rows {
            let link = AudioLink { loss, estimate: Bitrate::kbps(kbps), ..OPUS };
            assert_eq!(link.form(now), Some(expected), "{loss} {kbps} {now:?}");
        }
        let rows = [
            (390, AsPublished, Unwrapped),
            (450, Unwrapped, Unwrapped),
            (450, AsPublished, AsPublished),
            (500, Unwrapped, AsPublished),
        ];
        for (kbps, now, expected) in rows {
            let link = AudioLink { estimate: Bitrate::kbps(kbps), ..RED };
            assert_eq!(link.form(now), Some(expected), "{kbps} {now:?}");
        }
    }
}
