//! Extended sequence numbers and timestamps (RFC 3550, appendix A.1).
//!
//! Inside the engine a source packet is named by a 64-bit number whose low 16 bits are the ones on
//! the wire. It never wraps and never goes back, so maps and caches compare with plain `<`.

/// Largest forward jump taken as loss. RFC 3550 A.1, `MAX_DROPOUT`.
pub const MAX_DROPOUT: u16 = 3000;
/// Oldest packet taken as reordered. RFC 3550 A.1 has 100; a retransmission of a 5 Mbit/s stream
/// may be over a thousand packets behind. mediasoup `RtpStream.cpp`, `MaxMisorder`.
pub const MAX_MISORDER: u16 = 1500;
/// Cycle of the first packet, so that packets just before it still have a number.
const FIRST_CYCLE: u64 = 1 << 16;

/// The extended number with these low 16 bits that lies closest to `reference`.
///
/// A `reference` under 32768 may give a number that has wrapped below zero; numbers made by this
/// module start at 65536.
#[must_use]
pub fn nearest(seq: u16, reference: u64) -> u64 {
    #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
    let distance = seq.wrapping_sub(reference as u16) as i16;
    reference.wrapping_add_signed(i64::from(distance))
}

/// Unwraps 16-bit counters without judging jumps, as for transport-wide sequence numbers.
#[derive(Debug, Clone, Default)]
pub struct SeqUnwrapper {
    highest: Option<u64>,
}

impl SeqUnwrapper {
    /// The extended number of `seq`; the first one is in 65536..=131071.
    pub fn unwrap(&mut self, seq: u16) -> u64 {
        let ext = match self.highest {
            Some(highest) => nearest(seq, highest),
            None => FIRST_CYCLE | u64::from(seq),
        };
        self.highest = Some(self.highest.map_or(ext, |highest| highest.max(ext)));
        ext
    }
}

/// Unwraps 32-bit RTP timestamps to a line on which differences are plain subtractions.
#[derive(Debug, Clone, Default)]
pub struct TimestampUnwrapper {
    last: Option<i64>,
}

impl TimestampUnwrapper {
    /// The timestamp in ticks, closest to the previous one; the first keeps its value.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let ext = match self.last {
            #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
            None => i64::from(timestamp),
        };
        self.last = Some(ext);
        ext
    }
}

/// Where a packet stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeqStatus {
    /// The newest so far. `missing` numbers directly before it have not been seen.
    Newest {
        /// Extended number.
        ext: u64,
        /// Numbers skipped since the newest before, 0 when in order.
        missing: u64,
    },
    /// Not newer than the newest: reordered, repaired or a duplicate.
    Late {
        /// Extended number.
        ext: u64,
    },
    /// The source started counting anew. Handle like a source switch: earlier packets are gone.
    Restart {
        /// Extended number, above all numbers given before.
        ext: u64,
    },
    /// A jump that nothing confirms yet: drop the packet.
    Suspect,
}

/// Extends one media SSRC's numbers and recognises a restart (RFC 3550 A.1, `update_seq`): a jump
/// is believed when two packets in a row continue it.
#[derive(Debug, Clone, Default)]
pub struct SeqTracker {
    highest: Option<u64>,
    /// The number that would confirm a jump.
    expected_after_jump: Option<u16>,
    /// The next packet begins a new run.
    anew: bool,
}

impl SeqTracker {
    /// Places a packet that arrived on the media SSRC itself.
    pub fn on_packet(&mut self, seq: u16) -> SeqStatus {
        let Some(highest) = self.highest else {
            let ext = FIRST_CYCLE | u64::from(seq);
            self.highest = Some(ext);
            return SeqStatus::Newest { ext, missing: 0 };
        };
        if std::mem::take(&mut self.anew) {
            return self.restart(highest, seq);
        }
        let ahead = seq.wrapping_sub(highest as u16);
        if ahead == 0 || ahead > u16::MAX - MAX_MISORDER {
            return SeqStatus::Late { ext: nearest(seq, highest) };
        }
        if ahead < MAX_DROPOUT {
            self.expected_after_jump = None;
            let ext = highest + u64::from(ahead);
            self.highest = Some(ext);
            return SeqStatus::Newest { ext, missing: u64::from(ahead) - 1 };
        }
        if self.expected_after_jump == Some(seq) {
            return self.restart(highest, seq);
        }
        self.expected_after_jump = Some(seq.wrapping_add(1));
        SeqStatus::Suspect
    }

    /// The number of the next packet of a source that loses none.
    pub fn advance(&mut self) -> u64 {
        let ext = self.highest.map_or(FIRST_CYCLE, |highest| highest + 1);
        self.highest = Some(ext);
        ext
    }

    /// The next packet begins a new run whatever its number: another SSRC took over.
    pub fn begin_anew(&mut self) {
        self.anew = true;
    }

    fn restart(&mut self, highest: u64, seq: u16) -> SeqStatus {
        self.expected_after_jump = None;
        // Two cycles up: no number of the old run is near enough to be mixed up with it.
        let ext = ((highest >> 16) + 2) << 16 | u64::from(seq);
        self.highest = Some(ext);
        SeqStatus::Restart { ext }
    }

    /// Extends the original number of a retransmission, which never moves the stream on.
    ///
    /// None before the first media packet, for numbers above the newest and for too old ones.
    #[must_use]
    pub fn extend_repaired(&self, seq: u16) -> Option<u64> {
        let highest = self.highest?;
        let behind = (highest as u16).wrapping_sub(seq);
        (behind <= MAX_MISORDER).then(|| highest - u64::from(behind))
    }

    /// The newest extended number.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwrapping_follows_the_wrap_both_ways() {
        let mut seqs = SeqUnwrapper::default();
        let got: Vec<u64> = [65534, 65535, 1, 0, 65533, 2].map(|seq| seqs.unwrap(seq)).into();
        assert_eq!(got, [131_070, 131_071, 131_073, 131_072, 131_069, 131_074]);
    }

    #[test]
    fn timestamps_unwrap_both_ways() {
        let mut timestamps = TimestampUnwrapper::default();
        assert_eq!(timestamps.unwrap(u32::MAX - 9), i64::from(u32::MAX) - 9);
        assert_eq!(timestamps.unwrap(90), i64::from(u32::MAX) + 91);
        assert_eq!(timestamps.unwrap(u32::MAX), i64::from(u32::MAX));
    }

    #[test]
    fn packets_before_the_first_are_late_not_negative() {
        let mut tracker = SeqTracker::default();
        assert_eq!(tracker.on_packet(2), SeqStatus::Newest { ext: 65538, missing: 0 });
        assert_eq!(tracker.on_packet(65535), SeqStatus::Late { ext: 65535 });
        assert_eq!(tracker.on_packet(5), SeqStatus::Newest { ext: 65541, missing: 2 });
        assert_eq!(tracker.on_packet(5), SeqStatus::Late { ext: 65541 });
    }

    #[test]
    fn jump_confirmed_by_two_sequential_packets_is_a_restart() {
        let mut tracker = SeqTracker::default();
        tracker.on_packet(100);
        assert_eq!(tracker.on_packet(30_100), SeqStatus::Suspect);
        assert_eq!(tracker.on_packet(30_101), SeqStatus::Restart { ext: 3 << 16 | 30_101 });
        assert_eq!(
            tracker.on_packet(30_102),
            SeqStatus::Newest { ext: 3 << 16 | 30_102, missing: 0 }
        );
    }

    #[test]
    fn another_ssrc_begins_a_new_run_above_the_old_one() {
        let mut tracker = SeqTracker::default();
        tracker.on_packet(100);
        tracker.begin_anew();
        assert_eq!(tracker.on_packet(99), SeqStatus::Restart { ext: 3 << 16 | 99 });
        assert_eq!(tracker.on_packet(100), SeqStatus::Newest { ext: 3 << 16 | 100, missing: 0 });
    }

    #[test]
    fn stray_packets_do_not_disturb_the_stream() {
        let mut tracker = SeqTracker::default();
        tracker.on_packet(100);
        assert_eq!(tracker.on_packet(30_100), SeqStatus::Suspect);
        assert_eq!(tracker.on_packet(101), SeqStatus::Newest { ext: 65637, missing: 0 });
        assert_eq!(tracker.on_packet(30_101), SeqStatus::Suspect, "the run was broken");
    }

    #[test]
    fn repaired_numbers_never_move_the_stream_on() {
        let mut tracker = SeqTracker::default();
        assert_eq!(tracker.extend_repaired(7), None);
        tracker.on_packet(10);
        assert_eq!(tracker.extend_repaired(7), Some(65543));
        assert_eq!(tracker.extend_repaired(11), None);
        assert_eq!(tracker.extend_repaired(10u16.wrapping_sub(1501)), None);
        assert_eq!(tracker.highest(), Some(65546));
    }
}
