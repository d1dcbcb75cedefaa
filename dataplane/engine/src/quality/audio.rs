//! How much of a voice was made up by the decoder, as far as the server can tell.
//!
//! A run of `n` lost packets is concealed but for its last `d`, if each packet carries the `d` before
//! it (RED with distance `d`; in-band FEC counts as 1): the packet after the run brings them. So
//! `concealed = max(0, n - d)` packets a run. Which packets are lost is known on the uplink from
//! their numbers and on the downlink from transport-wide feedback. From a receiver report only the
//! share of loss `p` is known; taken as independent, a packet is concealed if it and the `d` after it
//! are lost: `p^(d+1)`. Packets that come too late for the jitter buffer are not seen.

/// Concealment of one audio stream.
#[derive(Debug, Default)]
pub struct Concealment {
    packets: u64,
    concealed: u64,
    /// Losses at the end, whose run is not over.
    run: u64,
}

impl Concealment {
    /// The fate of the next packet by number. `redundancy`: how many packets before it it carries.
    pub fn on_packet(&mut self, received: bool, redundancy: u8) {
        self.packets += 1;
        if received {
            self.concealed += self.run.saturating_sub(u64::from(redundancy));
            self.run = 0;
        } else {
            self.run += 1;
        }
    }

    /// Packets seen so far, lost ones included.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Of them, those the decoder had to make up.
    #[must_use]
    pub fn concealed(&self) -> u64 {
        self.concealed
    }

    /// Their share, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.packets == 0 { 0.0 } else { self.concealed as f64 / self.packets as f64 }
    }
}

/// Numbers by which a packet may be late and still be played: 640 ms of usual packets, more than
/// jitter buffers wait.
const PATIENCE: u32 = 32;

/// Packets of one audio stream by number, in any order; the fate of each is sealed when it is
/// [`PATIENCE`] numbers behind.
#[derive(Debug, Default)]
pub struct Fates {
    newest: u64,
    /// Bit per number, from the newest back: it came.
    came: u32,
    /// How many of these numbers belong to the stream.
    known: u32,
    sealed: Concealment,
}

impl Fates {
    /// A packet came under this extended number. `restart`: what was before is another stream.
    pub fn on_packet(&mut self, number: u64, restart: bool, redundancy: u8) {
        if self.known == 0 || restart {
            (self.newest, self.came, self.known) = (number, 1, 1);
            return;
        }
        for _ in self.newest..number {
            if self.known == PATIENCE {
                let came = self.came >> (PATIENCE - 1) & 1 == 1;
                self.sealed.on_packet(came, redundancy);
            } else {
                self.known += 1;
            }
            self.came <<= 1;
        }
        self.newest = self.newest.max(number);
        let behind = self.newest - number;
        if behind < u64::from(self.known) {
            self.came |= 1 << behind;
        }
    }

    /// What became of those whose fate is sealed.
    #[must_use]
    pub fn sealed(&self) -> &Concealment {
        &self.sealed
    }
}

/// The share concealed where only the share of loss is known; both 0 to 1.
#[must_use]
pub fn concealed_share(loss: f64, redundancy: u8) -> f64 {
    loss.clamp(0.0, 1.0).powi(i32::from(redundancy) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fates: &str, redundancy: u8) -> (u64, u64) {
        let mut concealment = Concealment::default();
        for fate in fates.bytes() {
            concealment.on_packet(fate == b'1', redundancy);
        }
        (concealment.concealed(), concealment.packets())
    }

    #[test]
    fn a_run_is_repaired_from_its_end() {
        assert_eq!(run("1101110001", 0), (4, 10));
        assert_eq!(run("1101110001", 1), (2, 10));
        assert_eq!(run("1101110001", 2), (1, 10));
        assert_eq!(run("1101110001", 3), (0, 10));
    }

    #[test]
    fn a_run_counts_when_it_is_over() {
        assert_eq!(run("11000", 0), (0, 5));
        assert_eq!(run("110001", 0), (3, 6));
    }

    #[test]
    fn a_fate_is_sealed_when_nobody_waits_any_more() {
        let mut fates = Fates::default();
        for number in (100..200).filter(|number| number % 10 != 3) {
            fates.on_packet(number, false, 0);
            if number == 145 {
                fates.on_packet(143, false, 0);
                fates.on_packet(113, false, 0);
                fates.on_packet(133, false, 0);
            }
        }
        let (packets, concealed) = (fates.sealed().packets(), fates.sealed().concealed());
        assert_eq!(packets, 68);
        assert_eq!(concealed, 5, "103, 113 which came too late, 123, 153, 163");
        fates.on_packet(5, true, 0);
        fates.on_packet(6, false, 0);
        assert_eq!(fates.sealed().packets(), 68, "nothing is missed over a restart");
    }

    #[test]
    fn random_loss_agrees_with_the_formula() {
        let (mut concealment, mut random) = (Concealment::default(), 1_u32);
        for _ in 0..200_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            concealment.on_packet((random >> 16) % 100 >= 20, 1);
        }
        let expected = concealed_share(0.2, 1);
        assert!((concealment.share() / expected - 1.0).abs() < 0.1, "{}", concealment.share());
    }
}
