//! Which indices were seen, and which index a 16-bit sequence number stands for.

use crate::error::DropReason;

/// 1024: a retransmission of a 1.5 Mbit/s stream comes about 200 packets late per second of delay,
/// and RFC 3711's minimum of 64 would take it for a replay.
pub(super) type RtpWindow = Window<16>;
/// 128: reports come a few per second, and hardly reordered.
pub(super) type RtcpWindow = Window<2>;

/// Indices of one source, the newest `64 * WORDS` of them one by one.
#[derive(Debug, Clone)]
pub(super) struct Window<const WORDS: usize> {
    /// Highest authenticated index: ROC and s_l of RFC 3711 in one number.
    highest: u64,
    /// Bit `index % (64 * WORDS)`; those of indices below the window are overwritten.
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    const LEN: u64 = 64 * WORDS as u64;

    /// After the first packet of a source was authenticated.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.set(index);
        window
    }

    /// Whether a packet with this index may still be taken.
    ///
    /// # Errors
    /// [`DropReason::SrtpReplayed`] if it was seen, or lies below the window.
    pub(super) fn check(&self, index: u64) -> Result<(), DropReason> {
        if index > self.highest {
            return Ok(());
        }
        let old = self.highest - index >= Self::LEN;
        if old || self.seen[Self::word(index)] & Self::bit(index) != 0 {
            return Err(DropReason::SrtpReplayed);
        }
        Ok(())
    }

    /// Notes an index that passed [`Window::check`] and was then authenticated.
    pub(super) fn accept(&mut self, index: u64) {
        if index > self.highest {
            let advance = index - self.highest;
            if advance >= Self::LEN {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    self.seen[Self::word(skipped)] &= !Self::bit(skipped);
                }
            }
            self.highest = index;
        }
        self.set(index);
    }

    fn set(&mut self, index: u64) {
        self.seen[Self::word(index)] |= Self::bit(index);
    }

    fn word(index: u64) -> usize {
        (index % Self::LEN / 64) as usize
    }

    fn bit(index: u64) -> u64 {
        1 << (index % 64)
    }
}

impl RtpWindow {
    /// The 48-bit index that `sequence` most likely stands for (RFC 3711, section 3.3.1 and
    /// appendix A). Changes nothing.
    ///
    /// # Errors
    /// [`DropReason::SrtpReplayed`] for one from before the first rollover's beginning.
    pub(super) fn estimate(&self, sequence: u16) -> Result<u64, DropReason> {
        const HALF: u16 = 1 << 15;
        let (roc, s_l) = (self.highest >> 16, self.highest as u16);
        let v = if s_l < HALF {
            if sequence.saturating_sub(s_l) > HALF {
                roc.checked_sub(1).ok_or(DropReason::SrtpReplayed)?
            } else {
                roc
            }
        } else if s_l - HALF > sequence {
            roc + 1
        } else {
            roc
        };
        Ok(v << 16 | u64::from(sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Feeds sequence numbers as if each was authenticated; returns the indices.
    fn feed(window: &mut RtpWindow, sequences: &[u16]) -> Vec<u64> {
        sequences
            .iter()
            .map(|sequence| {
                let index = window.estimate(*sequence).unwrap();
                window.check(index).unwrap();
                window.accept(index);
                index
            })
            .collect()
    }

    #[test]
    fn reordering_around_the_wrap_advances_roc_once() {
        let mut window = RtpWindow::starting_at(65_533);
        let indices = feed(&mut window, &[65_535, 0, 1, 65_534, 2]);
        assert_eq!(indices, [65_535, 65_536, 65_537, 65_534, 65_538]);
        assert_eq!(window.highest, 65_536 + 2);
    }

    #[test]
    fn loss_over_the_wrap() {
        let mut window = RtpWindow::starting_at(65_500);
        let sequences: Vec<u16> = (65_501..=65_530).chain(5..=20).collect();
        assert_eq!(*feed(&mut window, &sequences).last().unwrap(), 65_536 + 20);
    }

    #[test]
    fn late_packet_from_before_the_wrap_leaves_the_state() {
        let mut window = RtpWindow::starting_at(65_535);
        let sequences: Vec<u16> = (0..=100).collect();
        feed(&mut window, &sequences);
        assert_eq!(feed(&mut window, &[65_530]), [65_530]);
        assert_eq!(window.highest, 65_536 + 100);
    }

    #[test]
    fn start_near_the_wrap() {
        let mut window = RtpWindow::starting_at(65_534);
        assert_eq!(feed(&mut window, &[3]), [65_536 + 3]);
    }

    #[test]
    fn nothing_comes_before_the_first_rollover() {
        let window = RtpWindow::starting_at(3);
        assert_eq!(window.estimate(65_534), Err(DropReason::SrtpReplayed));
    }

    #[test]
    fn the_window_is_1024_wide() {
        let mut window = RtpWindow::starting_at(5000);
        assert_eq!(window.check(5000), Err(DropReason::SrtpReplayed));
        assert_eq!(window.check(5000 - 1023), Ok(()));
        assert_eq!(window.check(5000 - 1024), Err(DropReason::SrtpReplayed));
        window.accept(5000 - 1023);
        assert_eq!(window.check(5000 - 1023), Err(DropReason::SrtpReplayed));
        // A jump past the whole window forgets its bits.
        window.accept(5000 + 4096);
        assert_eq!(window.check(5000 + 4096 - 1), Ok(()));
    }

    proptest! {
        /// Against a set that remembers everything.
        #[test]
        fn window_agrees_with_a_full_memory(steps in proptest::collection::vec(-1500i64..1200, 1..400)) {
            let mut window = RtcpWindow::starting_at(100_000);
            let mut seen = BTreeSet::from([100_000u64]);
            for step in steps {
                let highest = *seen.last().unwrap();
                let index = highest.saturating_add_signed(step / 8);
                let fresh = !seen.contains(&index) && index + 128 > highest;
                prop_assert_eq!(window.check(index).is_ok(), fresh);
                if fresh {
                    window.accept(index);
                    seen.insert(index);
                }
            }
        }

        /// Within half the number space of the newest, the estimate is exact.
        #[test]
        fn estimates_are_right_within_half_the_space(highest in 0u64..1 << 40, step in -32_767i64..32_768) {
            let window = RtpWindow::starting_at(highest);
            if let Some(index) = highest.checked_add_signed(step) {
                prop_assert_eq!(window.estimate(index as u16), Ok(index));
            }
        }
    }
}
