//! Values of one packet's extensions, found once and read by kind.

use std::fmt;

use super::{ExtensionKind, ExtensionMap, MAX_ONE_BYTE_LEN};
use crate::error::ParseError;
use crate::rtp::header::RtpView;
use crate::units::NtpTime;

/// A mid or rid, kept inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ShortName {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl ShortName {
    /// Longest name: what the one-byte form can carry.
    pub const MAX_LEN: usize = MAX_ONE_BYTE_LEN;

    /// None for an empty name, one over 16 bytes, or one that is not printable ASCII.
    #[must_use]
    pub fn new(name: &[u8]) -> Option<Self> {
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, len: name.len() as u8 })
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // ASCII by construction.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Loudness of one audio packet (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// The sender believes that somebody speaks.
    pub voice: bool,
    /// In -dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// The extension's one byte.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        (self.voice as u8) << 7 | self.level & 0x7F
    }

    /// Reads the extension's one byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self { voice: byte & 0x80 != 0, level: byte & 0x7F }
    }
}

/// Bounds for the receiver's jitter buffer, in units of 10 ms, 12 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// Least delay.
    pub min_10ms: u16,
    /// Greatest delay.
    pub max_10ms: u16,
}

impl PlayoutDelay {
    /// The extension's three bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, high, middle, low] =
            ((self.min_10ms as u32 & 0xFFF) << 12 | self.max_10ms as u32 & 0xFFF).to_be_bytes();
        [high, middle, low]
    }
}

/// When the first sample of a packet was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// In the clock of the capturing system.
    pub captured: NtpTime,
    /// Estimated offset of that clock from the sender's: signed 32.32 seconds.
    pub clock_offset_q32: Option<i64>,
}

/// Offset and length in the packet; offset 0 (the fixed header) means absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Span {
    start: u16,
    len: u8,
}

/// Where each known extension of one packet lies. Holds no borrow: it may be kept with the packet.
///
/// Getters take the packet's bytes, and give None if the extension is absent or has a length that
/// its kind does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionSpans {
    spans: [Span; ExtensionKind::COUNT],
}

impl ExtensionSpans {
    /// Finds the extensions that `map` knows. Of a repeated one the first counts.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] if an element runs past the block.
    pub fn find(map: &ExtensionMap, view: &RtpView, packet: &[u8]) -> Result<Self, ParseError> {
        let mut found = Self::default();
        let block_start = view.extension_range().start;
        let mut elements = view.elements(packet);
        while let Some(element) = elements.next() {
            let element = element?;
            let Some(kind) = map.kind(element.id) else { continue };
            let span = &mut found.spans[kind as usize];
            let start = block_start + elements.position() - element.value.len();
            if let (0, Ok(start)) = (span.start, u16::try_from(start)) {
                *span = Span { start, len: element.value.len() as u8 };
            }
        }
        Ok(found)
    }

    /// Raw value of `kind`.
    #[must_use]
    pub fn get<'a>(&self, kind: ExtensionKind, packet: &'a [u8]) -> Option<&'a [u8]> {
        let Span { start, len } = self.spans[kind as usize];
        let start = usize::from(start);
        if start == 0 { None } else { packet.get(start..start + usize::from(len)) }
    }

    /// Media section.
    #[must_use]
    pub fn mid(&self, packet: &[u8]) -> Option<ShortName> {
        self.get(ExtensionKind::Mid, packet).and_then(ShortName::new)
    }

    /// Simulcast layer.
    #[must_use]
    pub fn rid(&self, packet: &[u8]) -> Option<ShortName> {
        self.get(ExtensionKind::Rid, packet).and_then(ShortName::new)
    }

    /// Simulcast layer that this RTX packet repairs.
    #[must_use]
    pub fn repaired_rid(&self, packet: &[u8]) -> Option<ShortName> {
        self.get(ExtensionKind::RepairedRid, packet).and_then(ShortName::new)
    }

    /// 24 bits of 6.18 seconds; wraps every 64 s.
    #[must_use]
    pub fn abs_send_time(&self, packet: &[u8]) -> Option<u32> {
        let &[high, middle, low] = self.get(ExtensionKind::AbsSendTime, packet)? else {
            return None;
        };
        Some(u32::from_be_bytes([0, high, middle, low]))
    }

    /// Transport-wide sequence number (version 02 of the draft appends two more bytes).
    #[must_use]
    pub fn transport_cc(&self, packet: &[u8]) -> Option<u16> {
        let &[high, low, ..] = self.get(ExtensionKind::TransportCc, packet)? else { return None };
        Some(u16::from_be_bytes([high, low]))
    }

    /// Loudness.
    #[must_use]
    pub fn audio_level(&self, packet: &[u8]) -> Option<AudioLevel> {
        let &[byte, ..] = self.get(ExtensionKind::AudioLevel, packet)? else { return None };
        Some(AudioLevel::from_byte(byte))
    }

    /// Jitter buffer bounds.
    #[must_use]
    pub fn playout_delay(&self, packet: &[u8]) -> Option<PlayoutDelay> {
        let &[high, middle, low] = self.get(ExtensionKind::PlayoutDelay, packet)? else {
            return None;
        };
        let bits = u32::from_be_bytes([0, high, middle, low]);
        Some(PlayoutDelay { min_10ms: (bits >> 12) as u16, max_10ms: (bits & 0xFFF) as u16 })
    }

    /// Rotation byte: 0000 C F R1 R0.
    #[must_use]
    pub fn video_orientation(&self, packet: &[u8]) -> Option<u8> {
        self.get(ExtensionKind::VideoOrientation, packet)?.first().copied()
    }

    /// Capture time.
    #[must_use]
    pub fn abs_capture_time(&self, packet: &[u8]) -> Option<AbsCaptureTime> {
        let value = self.get(ExtensionKind::AbsCaptureTime, packet)?;
        let (captured, rest) = value.split_first_chunk()?;
        Some(AbsCaptureTime {
            captured: NtpTime(u64::from_be_bytes(*captured)),
            clock_offset_q32: rest.first_chunk().map(|offset| i64::from_be_bytes(*offset)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(profile: u16, elements: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let len = elements.len().next_multiple_of(4);
        packet.extend(profile.to_be_bytes());
        packet.extend(((len / 4) as u16).to_be_bytes());
        packet.extend(elements);
        packet.resize(16 + len, 0);
        packet.extend(b"payload");
        packet
    }

    fn map() -> ExtensionMap {
        let mut map = ExtensionMap::new();
        for (at, kind) in ExtensionKind::ALL.into_iter().enumerate() {
            // 1..=14, then 16: 15 is not allowed.
            assert!(map.insert(if at == 14 { 16 } else { at as u8 + 1 }, kind));
        }
        map
    }

    fn spans(packet: &[u8]) -> ExtensionSpans {
        ExtensionSpans::find(&map(), &RtpView::parse(packet).unwrap(), packet).unwrap()
    }

    #[test]
    fn every_getter_reads_its_value() {
        let packet = packet(
            0x1000,
            &[
                &[1, 2, b'a', b'0'][..], // mid
                &[2, 1, b'h'],
                &[3, 1, b'q'],
                &[4, 3, 1, 2, 3],
                &[5, 2, 0xFF, 0xFE],
                &[6, 1, 0x80 | 30],
                &[7, 3, 0x00, 0xA0, 0x14],
                &[9, 1, 0b1011],
                &[10, 16, 0, 0, 0, 0, 0, 0, 0, 5, 255, 255, 255, 255, 255, 255, 255, 254],
                &[16, 3, 7, 7, 7],
            ]
            .concat(),
        );
        let found = spans(&packet);
        assert_eq!(found.mid(&packet).unwrap().as_str(), "a0");
        assert_eq!(found.rid(&packet).unwrap().as_str(), "h");
        assert_eq!(found.repaired_rid(&packet).unwrap().as_str(), "q");
        assert_eq!(found.abs_send_time(&packet), Some(0x01_0203));
        assert_eq!(found.transport_cc(&packet), Some(0xFFFE));
        assert_eq!(found.audio_level(&packet), Some(AudioLevel { voice: true, level: 30 }));
        let delay = PlayoutDelay { min_10ms: 10, max_10ms: 20 };
        assert_eq!(found.playout_delay(&packet), Some(delay));
        assert_eq!(delay.to_bytes(), [0x00, 0xA0, 0x14]);
        assert_eq!(found.video_orientation(&packet), Some(0b1011));
        let capture = AbsCaptureTime { captured: NtpTime(5), clock_offset_q32: Some(-2) };
        assert_eq!(found.abs_capture_time(&packet), Some(capture));
        assert_eq!(found.get(ExtensionKind::Toffset, &packet), Some(&[7, 7, 7][..]));
        assert_eq!(found.get(ExtensionKind::Timing, &packet), None);
    }

    #[test]
    fn wrong_lengths_read_as_absent() {
        let packet = packet(
            0x1000,
            &[
                1, 0, 2, 17, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 2, 1, 2, 5, 1,
                1, 6, 0, 7, 1, 1, 9, 0, 10, 7, 1, 1, 1, 1, 1, 1, 1,
            ],
        );
        let found = spans(&packet);
        assert_eq!(found.mid(&packet), None);
        assert_eq!(found.rid(&packet), None);
        assert_eq!(found.abs_send_time(&packet), None);
        assert_eq!(found.transport_cc(&packet), None);
        assert_eq!(found.audio_level(&packet), None);
        assert_eq!(found.playout_delay(&packet), None);
        assert_eq!(found.video_orientation(&packet), None);
        assert_eq!(found.abs_capture_time(&packet), None);
    }

    #[test]
    fn first_of_a_repeated_extension_counts_and_unknown_ids_are_skipped() {
        let packet = packet(0xBEDE, &[0x50 | 1, 0, 1, 0x51, 0, 2, 0xE0, 9]);
        assert_eq!(spans(&packet).transport_cc(&packet), Some(1));
        let empty = ExtensionMap::new();
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!(ExtensionSpans::find(&empty, &view, &packet), Ok(ExtensionSpans::default()));
    }

    #[test]
    fn element_past_the_block_is_an_error() {
        let packet = packet(0xBEDE, &[0x50 | 3, 0, 1, 2]);
        let view = RtpView::parse(&packet).unwrap();
        assert!(ExtensionSpans::find(&map(), &view, &packet).is_err());
    }

    #[test]
    fn short_names_are_bounded_printable_ascii() {
        assert_eq!(ShortName::new(b"0123456789abcdef").unwrap().as_str(), "0123456789abcdef");
        for bad in [&b""[..], b"0123456789abcdefg", b"a b", b"\0", b"\xFF"] {
            assert_eq!(ShortName::new(bad), None);
        }
    }
}
