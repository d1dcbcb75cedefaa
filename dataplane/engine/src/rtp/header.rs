//! The fixed header, CSRC list, extension block bounds and padding (RFC 3550, section 5.1).

use std::ops::Range;

use super::extensions::Elements;
use crate::error::{Format, ParseError};

/// Length of the fixed header.
pub const MIN_HEADER_LEN: usize = 12;
const VERSION: u8 = 2;
const EXTENSION_HEADER_LEN: usize = 4;

/// An RTP packet's header as numbers and offsets into its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpView {
    /// Meaning depends on the codec: end of a video frame, start of a talk spurt.
    pub marker: bool,
    /// 7 bits.
    pub payload_type: u8,
    /// Low 16 bits of the packet's index.
    pub sequence: u16,
    /// In units of the codec's clock.
    pub timestamp: u32,
    /// Who sent it.
    pub ssrc: u32,
    /// Number of contributing sources.
    pub csrc_count: u8,
    has_padding: bool,
    /// "Defined by profile": tells one-byte from two-byte elements; 0 without extension.
    extension_profile: u16,
    extension_start: u32,
    header_len: u32,
}

impl RtpView {
    /// Reads everything before the payload. Works on encrypted packets: SRTP leaves it in clear.
    ///
    /// # Errors
    /// With [`Format::Rtp`]: version is not 2, or fixed header, CSRC list or extension block run
    /// past the packet.
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let Some(fixed) = packet.first_chunk::<MIN_HEADER_LEN>() else {
            return Err(ParseError::Truncated(Format::Rtp));
        };
        let [flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != VERSION {
            return Err(ParseError::BadVersion(Format::Rtp));
        }
        let csrc_count = flags & 0x0F;
        let mut header_len = MIN_HEADER_LEN + 4 * usize::from(csrc_count);
        let (mut extension_profile, mut extension_start) = (0, 0);
        if flags & 0x10 != 0 {
            let Some(&[p0, p1, w0, w1]) =
                packet.get(header_len..).and_then(<[u8]>::first_chunk::<EXTENSION_HEADER_LEN>)
            else {
                return Err(ParseError::Truncated(Format::Rtp));
            };
            extension_profile = u16::from_be_bytes([p0, p1]);
            extension_start = header_len + EXTENSION_HEADER_LEN;
            header_len = extension_start + 4 * usize::from(u16::from_be_bytes([w0, w1]));
        }
        if header_len > packet.len() {
            return Err(ParseError::Truncated(Format::Rtp));
        }
        Ok(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7F,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            csrc_count,
            has_padding: flags & 0x20 != 0,
            extension_profile,
            // At most 12 + 60 + 4 + 4 * 65535.
            extension_start: extension_start as u32,
            header_len: header_len as u32,
        })
    }

    /// Bytes before the payload: what SRTP authenticates but does not encrypt.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header_len as usize
    }

    /// Where the payload lies in the decrypted packet, padding taken off. Empty for a probe.
    ///
    /// # Errors
    /// [`ParseError::BadPadding`] if the padding count is 0 or larger than what follows the
    /// header, [`ParseError::Truncated`] if the packet is shorter than its header (it is then not
    /// the one that was parsed).
    pub fn payload(&self, packet: &[u8]) -> Result<Range<usize>, ParseError> {
        let start = self.header_len();
        if packet.len() < start {
            return Err(ParseError::Truncated(Format::Rtp));
        }
        let mut end = packet.len();
        if self.has_padding {
            let count = usize::from(packet[end - 1]);
            if count == 0 || count > end - start {
                return Err(ParseError::BadPadding(Format::Rtp));
            }
            end -= count;
        }
        Ok(start..end)
    }

    /// Header extension elements in the order of the packet; none if there is no block, or one of
    /// a profile other than RFC 8285's two.
    #[must_use]
    pub fn elements<'a>(&self, packet: &'a [u8]) -> Elements<'a> {
        let block = packet.get(self.extension_range()).unwrap_or_default();
        Elements::new(self.extension_profile, block)
    }

    /// Bounds of the extension block's elements; empty without one.
    pub(super) fn extension_range(&self) -> Range<usize> {
        if self.extension_start == 0 {
            return 0..0;
        }
        self.extension_start as usize..self.header_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PT 96, marker, one CSRC, one-byte extension of one word, 3 payload bytes, 2 of padding.
    const SAMPLE: &[u8] = &[
        0xB1, 0xE0, 0x12, 0x34, 1, 2, 3, 4, 9, 8, 7, 6, // fixed
        0, 0, 0, 42, // CSRC
        0xBE, 0xDE, 0, 1, 0x10, 0xAA, 0, 0, // extension block
        1, 2, 3, 0, 2, // payload, padding
    ];

    #[test]
    fn every_field_is_read() {
        let view = RtpView::parse(SAMPLE).unwrap();
        assert!(view.marker);
        assert_eq!(view.payload_type, 96);
        assert_eq!(view.sequence, 0x1234);
        assert_eq!(view.timestamp, 0x0102_0304);
        assert_eq!(view.ssrc, 0x0908_0706);
        assert_eq!(view.csrc_count, 1);
        assert_eq!(view.header_len(), 24);
        assert_eq!(view.payload(SAMPLE), Ok(24..27));
        let elements: Vec<_> = view.elements(SAMPLE).map(Result::unwrap).collect();
        assert_eq!(elements.len(), 1);
        assert_eq!((elements[0].id, elements[0].value), (1, &[0xAA][..]));
    }

    #[test]
    fn truncation_at_each_length_is_an_error_or_a_shorter_payload() {
        for len in 0..SAMPLE.len() {
            match RtpView::parse(&SAMPLE[..len]) {
                Ok(view) => {
                    assert!(len >= 24);
                    // Last byte is then payload 1, 2, 3 or padding 0: read as a count.
                    let payload = view.payload(&SAMPLE[..len]);
                    assert_eq!(payload.is_ok(), matches!(len, 25..=27), "{len}");
                }
                Err(error) => {
                    assert!(len < 24);
                    assert_eq!(error, ParseError::Truncated(Format::Rtp));
                }
            }
        }
    }

    #[test]
    fn padding_larger_than_the_payload_or_zero_is_refused() {
        let mut packet = SAMPLE.to_vec();
        for (count, want) in [(0, None), (1, Some(28)), (5, Some(24)), (6, None), (255, None)] {
            *packet.last_mut().unwrap() = count;
            let payload = RtpView::parse(&packet).unwrap().payload(&packet);
            assert_eq!(payload.ok().map(|range| range.end), want, "{count}");
        }
    }

    #[test]
    fn padding_flag_without_any_payload_is_refused() {
        let packet = [0xA0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!(view.payload(&packet), Err(ParseError::BadPadding(Format::Rtp)));
    }

    #[test]
    fn zero_payload_is_an_empty_range() {
        let packet = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!(view.payload(&packet), Ok(12..12));
        assert_eq!(view.elements(&packet).count(), 0);
    }

    #[test]
    fn csrc_and_extension_past_the_end_are_refused() {
        let mut packet = [0; 12 + 8];
        packet[0] = 0x80 | 3;
        assert_eq!(RtpView::parse(&packet), Err(ParseError::Truncated(Format::Rtp)));
        packet[0] = 0x90 | 1;
        packet[16..].copy_from_slice(&[0xBE, 0xDE, 0, 1]);
        assert_eq!(RtpView::parse(&packet), Err(ParseError::Truncated(Format::Rtp)));
        packet[18..].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(RtpView::parse(&packet), Err(ParseError::Truncated(Format::Rtp)));
    }

    #[test]
    fn other_versions_are_refused() {
        for version in [0, 1, 3] {
            let mut packet = SAMPLE.to_vec();
            packet[0] = packet[0] & 0x3F | version << 6;
            assert_eq!(RtpView::parse(&packet), Err(ParseError::BadVersion(Format::Rtp)));
        }
    }
}
