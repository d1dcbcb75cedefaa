//! Opus packets: how long, and whether silence (RFC 6716, section 3.1).

use std::time::Duration;

/// Longest Opus packet (RFC 6716, section 3.2.5, R5).
const MAX_PACKET: Duration = Duration::from_millis(120);

/// What the first bytes of an Opus packet tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toc {
    /// Audio in the packet. Zero when the packet is empty or breaks the format.
    pub duration: Duration,
    /// Discontinuous transmission: the frames carry no audio, the decoder makes comfort noise.
    pub dtx: bool,
}

impl Toc {
    /// Reads the table-of-contents byte. Never fails: a broken packet has no duration.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Self {
        let Some(&toc) = payload.first() else {
            return Self { duration: Duration::ZERO, dtx: false };
        };
        let micros: u32 = match toc >> 3 {
            config @ 0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
            config @ 12..=15 => [10_000, 20_000][usize::from(config % 2)],
            config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
        };
        let code = toc & 3;
        let frames = match code {
            0 => 1,
            1 | 2 => 2,
            _ => payload.get(1).map_or(0, |count| u32::from(count & 0x3f)),
        };
        let duration = Duration::from_micros(u64::from(micros * frames));
        // Frames without a byte: one or two of equal length, or two lengths of which the first
        // is written.
        let dtx = match code {
            0 | 1 => payload.len() == 1,
            2 => payload.len() == 2,
            _ => false,
        };
        Self { duration: if duration > MAX_PACKET { Duration::ZERO } else { duration }, dtx }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &[u8]) -> (u128, bool) {
        let toc = Toc::parse(payload);
        (toc.duration.as_micros(), toc.dtx)
    }

    #[test]
    fn durations() {
        assert_eq!(parse(&[0x78, 1, 2]), (20_000, false), "hybrid full band, 20 ms");
        assert_eq!(parse(&[0xfc, 1, 2]), (20_000, false), "the same in stereo");
        assert_eq!(parse(&[0x18, 1, 2]), (60_000, false));
        assert_eq!(parse(&[0x80, 1, 2]), (2_500, false));
        assert_eq!(parse(&[0x79, 1, 2]), (40_000, false), "two frames");
        assert_eq!(parse(&[0x7b, 3, 2]), (60_000, false), "three frames");
        assert_eq!(parse(&[0x7b, 63, 2]), (0, false), "63 frames are over 120 ms");
        assert_eq!(parse(&[0x7b]), (0, false));
        assert_eq!(parse(&[]), (0, false));
    }

    #[test]
    fn dtx_is_a_packet_without_audio_bytes() {
        assert!(parse(&[0x78]).1);
        assert!(parse(&[0x79]).1);
        assert!(parse(&[0x7a, 0]).1);
        assert!(!parse(&[0x78, 0xff]).1);
        assert!(!parse(&[0x78, 0xff, 0xfe]).1, "encoded silence is not DTX");
    }
}
