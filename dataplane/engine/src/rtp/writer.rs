//! A fresh header for each receiver: nothing of the publisher's header survives by accident.

use super::extensions::{
    ExtensionKind, ExtensionMap, MAX_ONE_BYTE_ID, MAX_ONE_BYTE_LEN, ONE_BYTE_PROFILE,
    TWO_BYTE_PROFILE,
};
use super::header::MIN_HEADER_LEN;
use crate::units::NtpTime;

const MAX_TWO_BYTE_LEN: usize = 255;
const BLOCK_HEADER_LEN: usize = 4;

/// The fixed header of an outgoing packet; no CSRCs, no padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderFields {
    /// Copied, or set by the codec's rules.
    pub marker: bool,
    /// As negotiated with the receiver; 7 bits.
    pub payload_type: u8,
    /// Low 16 bits of the slot's index.
    pub sequence: u16,
    /// In the slot's timeline.
    pub timestamp: u32,
    /// Of the slot.
    pub ssrc: u32,
}

/// What [`write_header`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenHeader {
    /// Where the payload begins.
    pub len: usize,
    /// Offset of the three bytes for [`patch_abs_send_time`].
    pub abs_send_time_at: Option<usize>,
    /// Offset of the two bytes for [`patch_transport_cc`].
    pub transport_cc_at: Option<usize>,
}

/// Writes header and extension block to the start of `out`; None if `out` is too small.
///
/// Extensions that `map` lacks are left out. The block has the one-byte form unless an id is over
/// 14 or a value empty or over 16 bytes; where two-byte elements were not agreed on, those
/// extensions are left out instead. Give abs-send-time (3 bytes) and transport-cc (2) as zeros and
/// patch them when the packet is sent, before it is encrypted: SRTP authenticates the header.
pub fn write_header(
    out: &mut [u8],
    fields: &HeaderFields,
    extensions: &[(ExtensionKind, &[u8])],
    map: &ExtensionMap,
) -> Option<WrittenHeader> {
    let fixed = out.first_chunk_mut::<MIN_HEADER_LEN>()?;
    fixed[0] = 0x80;
    fixed[1] = u8::from(fields.marker) << 7 | fields.payload_type & 0x7F;
    fixed[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    fixed[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    fixed[8..].copy_from_slice(&fields.ssrc.to_be_bytes());
    let mut written =
        WrittenHeader { len: MIN_HEADER_LEN, abs_send_time_at: None, transport_cc_at: None };

    let fits_one_byte = |id: u8, value: &[u8]| {
        id <= MAX_ONE_BYTE_ID && (1..=MAX_ONE_BYTE_LEN).contains(&value.len())
    };
    let two_byte = map.two_byte_allowed()
        && extensions
            .iter()
            .any(|(kind, value)| map.id(*kind).is_some_and(|id| !fits_one_byte(id, value)));

    let block_start = MIN_HEADER_LEN + BLOCK_HEADER_LEN;
    let mut at = block_start;
    for &(kind, value) in extensions {
        let Some(id) = map.id(kind) else { continue };
        let len = value.len();
        let head_len = if two_byte { 2 } else { 1 };
        if two_byte && len > MAX_TWO_BYTE_LEN || !two_byte && !fits_one_byte(id, value) {
            continue;
        }
        let element = out.get_mut(at..at + head_len + len)?;
        if two_byte {
            element[..2].copy_from_slice(&[id, len as u8]);
        } else {
            element[0] = id << 4 | (len - 1) as u8;
        }
        element[head_len..].copy_from_slice(value);
        let value_at = at + head_len;
        match (kind, len) {
            (ExtensionKind::AbsSendTime, 3) => written.abs_send_time_at = Some(value_at),
            (ExtensionKind::TransportCc, 2..) => written.transport_cc_at = Some(value_at),
            _ => {}
        }
        at = value_at + len;
    }
    if at == block_start {
        return Some(written);
    }
    let block_len = (at - block_start).next_multiple_of(4);
    let end = block_start + block_len;
    out.get_mut(at..end)?.fill(0);
    let profile = if two_byte { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
    let words = u16::try_from(block_len / 4).ok()?;
    out[MIN_HEADER_LEN..][..2].copy_from_slice(&profile.to_be_bytes());
    out[MIN_HEADER_LEN + 2..][..2].copy_from_slice(&words.to_be_bytes());
    out[0] |= 0x10;
    written.len = end;
    Some(written)
}

/// Stamps the moment of sending at `at`, an offset that [`write_header`] gave for this packet.
pub fn patch_abs_send_time(packet: &mut [u8], at: usize, now: NtpTime) {
    if let Some(bytes) = packet.get_mut(at..at + 3) {
        bytes.copy_from_slice(&now.abs_send_time().to_be_bytes()[1..]);
    }
}

/// Stamps the transport's next number at `at`, an offset that [`write_header`] gave.
pub fn patch_transport_cc(packet: &mut [u8], at: usize, sequence: u16) {
    if let Some(bytes) = packet.get_mut(at..at + 2) {
        bytes.copy_from_slice(&sequence.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{ExtensionSpans, RtpView};
    use proptest::prelude::*;

    const FIELDS: HeaderFields =
        HeaderFields { marker: true, payload_type: 111, sequence: 7, timestamp: 8, ssrc: 9 };

    fn map(two_byte: bool) -> ExtensionMap {
        let mut map = ExtensionMap::new().with_two_byte(two_byte);
        map.insert(1, ExtensionKind::Mid);
        map.insert(3, ExtensionKind::AbsSendTime);
        map.insert(5, ExtensionKind::TransportCc);
        map.insert(8, ExtensionKind::DependencyDescriptor);
        map.insert(20, ExtensionKind::AudioLevel);
        map
    }

    fn written(
        extensions: &[(ExtensionKind, &[u8])],
        map: &ExtensionMap,
    ) -> (Vec<u8>, WrittenHeader) {
        let mut out = [0xEE; 400];
        let written = write_header(&mut out, &FIELDS, extensions, map).unwrap();
        (out[..written.len].to_vec(), written)
    }

    #[test]
    fn without_extensions_the_block_is_absent() {
        let (bytes, written) = written(&[(ExtensionKind::Rid, b"h")], &map(true));
        assert_eq!(written.len, 12);
        assert_eq!(bytes, [0x80, 0x80 | 111, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9]);
    }

    #[test]
    fn one_byte_form_and_patch_points() {
        let (mut bytes, written) = written(
            &[
                (ExtensionKind::Mid, b"12"),
                (ExtensionKind::AbsSendTime, &[0; 3]),
                (ExtensionKind::TransportCc, &[0; 2]),
            ],
            &map(true),
        );
        assert_eq!(bytes[12..16], [0xBE, 0xDE, 0, 3]);
        assert_eq!(bytes.len(), 28);
        patch_abs_send_time(&mut bytes, written.abs_send_time_at.unwrap(), NtpTime(1 << 32));
        patch_transport_cc(&mut bytes, written.transport_cc_at.unwrap(), 0xABCD);
        let view = RtpView::parse(&bytes).unwrap();
        let spans = ExtensionSpans::find(&map(true), &view, &bytes).unwrap();
        assert_eq!(spans.mid(&bytes).unwrap().as_str(), "12");
        assert_eq!(spans.abs_send_time(&bytes), Some(1 << 18));
        assert_eq!(spans.transport_cc(&bytes), Some(0xABCD));
        assert!(view.marker);
        assert_eq!((view.payload_type, view.sequence, view.timestamp, view.ssrc), (111, 7, 8, 9));
    }

    #[test]
    fn large_id_or_value_takes_the_two_byte_form_where_allowed() {
        let descriptor = [7; 40];
        for extension in [
            (ExtensionKind::AudioLevel, &[5][..]),
            (ExtensionKind::DependencyDescriptor, &descriptor),
        ] {
            let extensions = [(ExtensionKind::Mid, &b"0"[..]), extension];
            let (bytes, _) = written(&extensions, &map(true));
            assert_eq!(bytes[12..14], [0x10, 0x00]);
            let view = RtpView::parse(&bytes).unwrap();
            let spans = ExtensionSpans::find(&map(true), &view, &bytes).unwrap();
            assert_eq!(spans.get(extension.0, &bytes), Some(extension.1));
            assert_eq!(spans.mid(&bytes).unwrap().as_str(), "0");

            // Not allowed: that extension is left out, the others stay.
            let (bytes, _) = written(&extensions, &map(false));
            assert_eq!(bytes[12..16], [0xBE, 0xDE, 0, 1]);
            let view = RtpView::parse(&bytes).unwrap();
            let spans = ExtensionSpans::find(&map(false), &view, &bytes).unwrap();
            assert_eq!(spans.get(extension.0, &bytes), None);
            assert_eq!(spans.mid(&bytes).unwrap().as_str(), "0");
        }
    }

    #[test]
    fn too_small_buffer_is_refused_at_each_length() {
        let extensions = [(ExtensionKind::Mid, &b"12"[..])];
        for len in 0..20 {
            assert_eq!(write_header(&mut vec![0; len], &FIELDS, &extensions, &map(false)), None);
        }
        assert!(write_header(&mut [0; 20], &FIELDS, &extensions, &map(false)).is_some());
    }

    #[test]
    fn patching_outside_the_packet_does_nothing() {
        patch_abs_send_time(&mut [0; 4], 2, NtpTime(1));
        patch_transport_cc(&mut [0; 4], 3, 1);
    }

    proptest! {
        #[test]
        fn headers_round_trip(
            marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            two_byte: bool,
            values in proptest::collection::vec(
                (0usize..ExtensionKind::COUNT, proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
            ids in proptest::collection::vec(1u8..=255, ExtensionKind::COUNT),
        ) {
            let mut map = ExtensionMap::new().with_two_byte(two_byte);
            for (kind, id) in ExtensionKind::ALL.into_iter().zip(ids) {
                map.insert(id, kind);
            }
            let fields = HeaderFields { marker, payload_type, sequence, timestamp, ssrc };
            let extensions: Vec<(ExtensionKind, &[u8])> =
                values.iter().map(|(at, value)| (ExtensionKind::ALL[*at], &value[..])).collect();
            let mut out = [0; 1500];
            let written = write_header(&mut out, &fields, &extensions, &map).unwrap();
            let packet = &out[..written.len];
            let view = RtpView::parse(packet).unwrap();
            prop_assert_eq!(view.header_len(), written.len);
            prop_assert_eq!(view.marker, marker);
            prop_assert_eq!(view.payload_type, payload_type);
            prop_assert_eq!((view.sequence, view.timestamp, view.ssrc), (sequence, timestamp, ssrc));
            prop_assert_eq!(view.payload(packet), Ok(written.len..written.len));
            let spans = ExtensionSpans::find(&map, &view, packet).unwrap();
            for kind in ExtensionKind::ALL {
                let fits = |value: &[u8]| two_byte
                    || map.id(kind).unwrap() <= 14 && (1..=16).contains(&value.len());
                let want = extensions.iter()
                    .find(|(k, value)| *k == kind && map.id(kind).is_some() && fits(value))
                    .map(|(_, value)| *value);
                prop_assert_eq!(spans.get(kind, packet), want);
            }
        }
    }
}
