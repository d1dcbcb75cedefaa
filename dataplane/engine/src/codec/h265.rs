//! H.265 payloads (RFC 7798, section 4.4).

use super::{FrameInfo, Keyframe, Malformed};

const VPS: u8 = 32;
const SPS: u8 = 33;
const PREFIX_SEI: u8 = 39;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const PACI: u8 = 50;
/// Sub-layer non-reference pictures have the even types up to RSV_VCL_N14.
const LAST_NON_REFERENCE: u8 = 14;

/// Frame boundaries, keyframe start and temporal layer of one packet.
///
/// A keyframe starts at its video or sequence parameter set. Streams sent without decoding order
/// numbers only (`sprop-max-don-diff=0`), as all browsers do.
///
/// # Errors
/// Shorter than its headers, an aggregate whose sizes do not fit, or a temporal id of 0.
pub fn inspect(payload: &[u8], marker: bool) -> Result<FrameInfo, Malformed> {
    let &[first, second, ref rest @ ..] = payload else { return Err(Malformed) };
    let temporal = (second & 7).checked_sub(1).ok_or(Malformed)?;
    let mut units = Units::default();
    match first >> 1 & 0x3f {
        AGGREGATION => units.add_aggregate(rest)?,
        FRAGMENTATION => {
            let (&fragment, data) = rest.split_first().ok_or(Malformed)?;
            let &slice = data.first().ok_or(Malformed)?;
            units.see(fragment & 0x3f, fragment & 0x80 != 0, slice);
        }
        PACI => return Ok(FrameInfo { temporal, ..FrameInfo::unknown(marker) }),
        kind => units.see(kind, true, rest.first().copied().unwrap_or(0)),
    }
    Ok(FrameInfo {
        keyframe: if units.parameters { Keyframe::Yes } else { Keyframe::No },
        start: units.start,
        temporal,
        switch_up: units.switch_up,
        discardable: units.slices > 0 && units.slices == units.unused_slices,
        ..FrameInfo::unknown(marker)
    })
}

#[derive(Default)]
struct Units {
    parameters: bool,
    start: bool,
    switch_up: bool,
    slices: usize,
    unused_slices: usize,
}

impl Units {
    /// `whole`: the unit's own start is in this packet; `slice`: its first byte after the header.
    fn see(&mut self, kind: u8, whole: bool, slice: u8) {
        if kind < VPS {
            self.slices += 1;
            self.unused_slices += usize::from(kind <= LAST_NON_REFERENCE && kind.is_multiple_of(2));
            // TSA and STSA pictures (codec standard, 7.4.2.2).
            self.switch_up |= (2..=5).contains(&kind);
        }
        if !whole {
            return;
        }
        self.parameters |= kind == VPS || kind == SPS;
        self.start |= match kind {
            // first_slice_segment_in_pic_flag
            0..VPS => slice & 0x80 != 0,
            VPS..=PREFIX_SEI => true,
            _ => false,
        };
    }

    fn add_aggregate(&mut self, mut rest: &[u8]) -> Result<(), Malformed> {
        if rest.is_empty() {
            return Err(Malformed);
        }
        while let [high, low, after @ ..] = rest {
            let size = usize::from(u16::from_be_bytes([*high, *low]));
            let unit = after.get(..size).ok_or(Malformed)?;
            let &[first, _, ref data @ ..] = unit else { return Err(Malformed) };
            self.see(first >> 1 & 0x3f, true, data.first().copied().unwrap_or(0));
            rest = &after[size..];
        }
        if rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, temporal: u8) -> [u8; 2] {
        [kind << 1, temporal + 1]
    }

    fn packet(kind: u8, temporal: u8, data: &[u8]) -> Vec<u8> {
        [&header(kind, temporal), data].concat()
    }

    #[test]
    fn keyframe_starts_at_parameter_sets_in_every_packaging() {
        let keyframe = |payload: &[u8]| inspect(payload, false).unwrap().keyframe;
        assert_eq!(keyframe(&packet(VPS, 0, &[1])), Keyframe::Yes);
        assert_eq!(keyframe(&packet(SPS, 0, &[1])), Keyframe::Yes);
        let aggregate = packet(AGGREGATION, 0, &[0, 3, 64, 1, 9, 0, 3, 66, 1, 9]);
        assert_eq!(keyframe(&aggregate), Keyframe::Yes);
        assert_eq!(keyframe(&packet(FRAGMENTATION, 0, &[0x80 | SPS, 1])), Keyframe::Yes);
        assert_eq!(keyframe(&packet(FRAGMENTATION, 0, &[SPS, 1])), Keyframe::No);
        assert_eq!(keyframe(&packet(19, 0, &[0x80])), Keyframe::No, "IDR without its sets");
        assert_eq!(keyframe(&packet(PACI, 0, &[0])), Keyframe::Unknown);
    }

    #[test]
    fn temporal_layer_and_switching_point() {
        let info = inspect(&packet(2, 2, &[0x80]), true).unwrap();
        assert_eq!((info.temporal, info.switch_up, info.discardable), (2, true, true));
        assert!(info.start && info.end);
        let info = inspect(&packet(1, 0, &[0x00]), false).unwrap();
        assert!(!info.start && !info.discardable && !info.switch_up);
    }

    #[test]
    fn truncated_at_each_length() {
        let aggregate = packet(AGGREGATION, 0, &[0, 3, 64, 1, 9, 0, 3, 66, 1, 9]);
        for len in (0..aggregate.len()).filter(|len| *len != 7) {
            assert_eq!(inspect(&aggregate[..len], false), Err(Malformed), "{len}");
        }
        let fragment = packet(FRAGMENTATION, 0, &[0x80 | SPS, 1]);
        for len in 0..fragment.len() {
            assert_eq!(inspect(&fragment[..len], false), Err(Malformed), "{len}");
        }
        assert_eq!(inspect(&[64, 0], false), Err(Malformed), "temporal id plus one is 0");
    }
}
