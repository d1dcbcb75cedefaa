//! What one window showed: of a track, or of all tracks in one direction.

use std::time::Duration;

use crate::units::Bitrate;

/// Figures of the last window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Packets that were sent by the far side (uplink) or reported about (downlink).
    pub packets: u64,
    /// Of them, those the path lost.
    pub lost: u64,
    /// Of these, those that no retransmission brought back.
    pub unrepaired: u64,
    /// Mean of the interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
    /// Media that passed, without headers.
    pub rate: Bitrate,
    /// Share of the sound that decoders had to make up, 0 to 1.
    pub concealed: f64,
}

impl Figures {
    /// Takes another track of the same direction in: counts add up, of the rest the worse stays.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            lost: self.lost + other.lost,
            unrepaired: self.unrepaired + other.unrepaired,
            jitter: self.jitter.max(other.jitter),
            rate: self.rate + other.rate,
            concealed: self.concealed.max(other.concealed),
        }
    }

    /// Share of the packets that the path lost; none without packets.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.packets > 0).then(|| self.lost as f64 / self.packets as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_the_worse_stays() {
        let ms = Duration::from_millis;
        let voice =
            Figures { packets: 250, lost: 5, jitter: ms(3), concealed: 0.01, ..Figures::default() };
        let video =
            Figures { packets: 750, lost: 15, jitter: ms(1), unrepaired: 2, ..Figures::default() };
        let both = voice.with(video);
        assert_eq!((both.packets, both.lost, both.unrepaired), (1000, 20, 2));
        assert_eq!((both.jitter, both.concealed, both.loss()), (ms(3), 0.01, Some(0.02)));
        assert_eq!(Figures::default().loss(), None);
    }
}
