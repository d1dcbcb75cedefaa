//! H.264 payloads (RFC 6184, section 5).

use super::{FrameInfo, Keyframe, Malformed};

const SLICE: u8 = 1;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP16: u8 = 26;
const MTAP24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Frame boundaries and keyframe start of one packet.
///
/// A keyframe starts at its sequence parameter set: a receiver that starts at the IDR picture
/// alone cannot decode it. Temporal layers are not visible.
///
/// # Errors
/// Empty, an aggregate whose sizes do not fit, a fragment without its header, or an unknown type.
pub fn inspect(payload: &[u8], marker: bool) -> Result<FrameInfo, Malformed> {
    let header = *payload.first().ok_or(Malformed)?;
    let mut units = Units::default();
    match header & 0x1f {
        1..=23 => units.add(payload),
        STAP_A => units.add_aggregate(payload, 1, 0)?,
        STAP_B => units.add_aggregate(payload, 3, 0)?,
        MTAP16 => units.add_aggregate(payload, 3, 3)?,
        MTAP24 => units.add_aggregate(payload, 3, 4)?,
        kind @ (FU_A | FU_B) => {
            let fragment = *payload.get(1).ok_or(Malformed)?;
            let data = if kind == FU_A { 2 } else { 4 };
            let first = *payload.get(data).ok_or(Malformed)?;
            // The original unit header: importance bits of the indicator, type of the fragment.
            let original = header & 0xe0 | fragment & 0x1f;
            if fragment & 0x80 != 0 {
                units.add(&[original, first]);
            } else {
                units.add_slice(original);
            }
        }
        _ => return Err(Malformed),
    }
    Ok(FrameInfo {
        keyframe: if units.sps { Keyframe::Yes } else { Keyframe::No },
        start: units.start,
        discardable: units.slices > 0 && units.slices == units.unused_slices,
        ..FrameInfo::unknown(marker)
    })
}

#[derive(Default)]
struct Units {
    sps: bool,
    start: bool,
    slices: usize,
    unused_slices: usize,
}

impl Units {
    fn add(&mut self, unit: &[u8]) {
        let Some(&header) = unit.first() else { return };
        self.add_slice(header);
        self.sps |= header & 0x1f == SPS;
        self.start |= match header & 0x1f {
            SEI | SPS | PPS | DELIMITER => true,
            // first_mb_in_slice is 0, written as a single 1 bit (7.3.3 of the codec's standard).
            SLICE..=IDR => unit.get(1).is_some_and(|slice| slice & 0x80 != 0),
            _ => false,
        };
    }

    /// Counts a slice by its header. Units around slices say nothing of importance.
    fn add_slice(&mut self, header: u8) {
        if (SLICE..=IDR).contains(&(header & 0x1f)) {
            self.slices += 1;
            self.unused_slices += usize::from(header & 0x60 == 0);
        }
    }

    /// `offset` of the first unit's size; `extra` bytes between each size and its unit, which in
    /// an MTAP do not count in the size.
    fn add_aggregate(
        &mut self,
        payload: &[u8],
        offset: usize,
        extra: usize,
    ) -> Result<(), Malformed> {
        let mut rest = payload.get(offset..).ok_or(Malformed)?;
        if rest.is_empty() {
            return Err(Malformed);
        }
        while let [high, low, after @ ..] = rest {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            let after = after.get(extra..).ok_or(Malformed)?;
            let unit = after.get(..size).ok_or(Malformed)?;
            self.add(unit);
            rest = &after[size..];
        }
        if rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS_12: [u8; 12] = [0x67, 0x42, 0xe0, 0x1f, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 8];

    fn aggregate(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        payload
    }

    fn keyframe(payload: &[u8]) -> Keyframe {
        inspect(payload, false).unwrap().keyframe
    }

    #[test]
    fn keyframe_starts_at_the_sps_in_every_packaging() {
        assert_eq!(keyframe(&SPS_12), Keyframe::Yes, "packetization-mode 0");
        assert_eq!(keyframe(&aggregate(&[&SPS_12, &[0x68, 1, 2]])), Keyframe::Yes);
        assert_eq!(keyframe(&aggregate(&[&[0x68, 1], &SPS_12, &[0x65, 0x88]])), Keyframe::Yes);
        assert_eq!(keyframe(&[0x7c, 0x87, 0x42]), Keyframe::Yes, "FU-A with start bit");
        assert_eq!(keyframe(&[0x7c, 0x07, 0x42]), Keyframe::No, "FU-A, later fragment");
        assert_eq!(keyframe(&[0x7a, 0, 1, 0, 2, 0, 0, 0, 0x67, 1]), Keyframe::Yes, "MTAP16");
    }

    #[test]
    fn idr_alone_is_not_a_start_for_a_receiver() {
        assert_eq!(keyframe(&[0x65, 0x88]), Keyframe::No);
        assert_eq!(keyframe(&[0x68, 0x88]), Keyframe::No);
    }

    #[test]
    fn frame_starts_at_the_first_slice() {
        assert!(inspect(&[0x41, 0x9a], false).unwrap().start);
        assert!(!inspect(&[0x41, 0x4a], false).unwrap().start);
        assert!(inspect(&[0x5c, 0x81, 0x9a], false).unwrap().start);
        assert!(!inspect(&[0x5c, 0x41, 0x9a], true).unwrap().start);
    }

    #[test]
    fn only_frames_nobody_refers_to_are_discardable() {
        assert!(inspect(&[0x01, 0x9a], false).unwrap().discardable);
        assert!(!inspect(&[0x61, 0x9a], false).unwrap().discardable);
        assert!(inspect(&[0x1c, 0x41, 0], false).unwrap().discardable);
        assert!(!inspect(&[0x06, 1, 2], false).unwrap().discardable, "what follows may matter");
    }

    #[test]
    fn truncated_aggregates_and_fragments_are_refused() {
        let payload = aggregate(&[&SPS_12, &[0x68, 1, 2]]);
        for len in (0..payload.len()).filter(|len| *len != 1 + 2 + SPS_12.len()) {
            assert_eq!(inspect(&payload[..len], false), Err(Malformed), "{len}");
        }
        assert_eq!(inspect(&[0x7c], false), Err(Malformed));
        assert_eq!(inspect(&[0x7c, 0x87], false), Err(Malformed));
        assert_eq!(inspect(&[0], false), Err(Malformed));
        assert_eq!(inspect(&[30], false), Err(Malformed));
    }
}
