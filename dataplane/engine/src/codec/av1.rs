//! AV1 payloads: the aggregation header (RTP payload format for AV1, section 4.4).

use super::{FrameInfo, Keyframe, Malformed};

const CONTINUES: u8 = 0x80;
const NEW_SEQUENCE: u8 = 0x08;
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;

/// Keyframe start and layers of one packet without a dependency descriptor.
///
/// A keyframe starts where a coded video sequence does: the N bit, with a sequence header first.
///
/// # Errors
/// Shorter than the aggregation header and one OBU header, or element sizes that do not fit.
pub fn inspect(payload: &[u8], marker: bool) -> Result<FrameInfo, Malformed> {
    let (&aggregation, rest) = payload.split_first().ok_or(Malformed)?;
    let continues = aggregation & CONTINUES != 0;
    let mut info = FrameInfo { keyframe: Keyframe::No, ..FrameInfo::unknown(marker) };
    // W = 1 says that the only element has no size in front.
    let element = if aggregation >> 4 & 3 == 1 { rest } else { first_element(rest)? };
    let &header = element.first().ok_or(Malformed)?;
    if continues {
        return Ok(info);
    }
    let kind = header >> 3 & 0x0f;
    info.start = true;
    if aggregation & NEW_SEQUENCE != 0 && matches!(kind, SEQUENCE_HEADER | TEMPORAL_DELIMITER) {
        info.keyframe = Keyframe::Yes;
    }
    if header & 0x04 != 0 {
        let &layer = element.get(1).ok_or(Malformed)?;
        info.temporal = layer >> 5;
        info.spatial = layer >> 3 & 3;
    }
    Ok(info)
}

/// The first element by its LEB128 size.
fn first_element(data: &[u8]) -> Result<&[u8], Malformed> {
    let mut size = 0;
    // Sizes above 2^21 do not fit a datagram.
    for (at, byte) in data.iter().take(3).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return data[at + 1..].get(..size).ok_or(Malformed);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyframe(payload: &[u8]) -> Keyframe {
        inspect(payload, false).unwrap().keyframe
    }

    #[test]
    fn new_sequence_with_its_header_starts_a_keyframe() {
        assert_eq!(keyframe(&[0x28, 2, 0x0a, 0x0b, 0x32, 1]), Keyframe::Yes, "W = 2");
        assert_eq!(keyframe(&[0x08, 2, 0x0a, 0x0b, 2, 0x32, 1]), Keyframe::Yes, "W = 0");
        assert_eq!(keyframe(&[0x58, 0x0a, 0x0b]), Keyframe::Yes, "header split off alone");
    }

    #[test]
    fn other_packets_do_not() {
        assert_eq!(keyframe(&[0x10, 0x32, 1]), Keyframe::No, "no N bit");
        assert_eq!(keyframe(&[0x98, 0x0a, 1]), Keyframe::No, "continues an OBU");
        assert_eq!(keyframe(&[0x18, 0x32, 1]), Keyframe::No, "N without sequence header");
    }

    #[test]
    fn layers_of_the_obu_extension() {
        let info = inspect(&[0x10, 0x36, 0x48, 1], true).unwrap();
        assert_eq!((info.temporal, info.spatial, info.end), (2, 1, true));
        assert_eq!(inspect(&[0x10, 0x36], false), Err(Malformed));
    }

    #[test]
    fn truncated_at_each_length() {
        for len in 0..4 {
            let payload = &[0x28, 2, 0x0a, 0x0b][..len];
            assert_eq!(inspect(payload, false), Err(Malformed), "{len}");
        }
        assert_eq!(inspect(&[0x28, 0xff, 0xff, 0xff, 0xff], false), Err(Malformed));
    }
}
