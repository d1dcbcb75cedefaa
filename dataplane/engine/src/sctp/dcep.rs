//! The Data Channel Establishment Protocol: OPEN and ACK (RFC 8832, section 5).

use crate::error::{Format, ParseError};

/// Longest label or protocol name accepted, in bytes. Ours have 8.
pub const MAX_LABEL_LEN: usize = 256;

const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;
/// Bytes of an OPEN before the label.
const OPEN_HEADER_LEN: usize = 12;
/// Bit of the channel type that says unordered.
const UNORDERED: u8 = 0x80;
/// Priority "normal" of RFC 8831, section 6.4. We do not weigh channels.
const PRIORITY_NORMAL: u16 = 256;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reliability {
    /// Until it arrives.
    #[default]
    Reliable,
    /// At most so many retransmissions of one message.
    MaxRetransmits(u32),
    /// As long as the message is younger than so many milliseconds.
    LifetimeMs(u32),
}

/// What both ends agree about a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ChannelConfig {
    /// Application's name for it.
    pub label: String,
    /// Subprotocol, as in WebSocket; mostly empty.
    pub protocol: String,
    /// Messages may overtake each other.
    pub unordered: bool,
    /// How hard to try.
    pub reliability: Reliability,
}

impl ChannelConfig {
    /// Every message arrives, and in order.
    #[must_use]
    pub fn reliable(label: &str) -> Self {
        Self { label: label.to_owned(), ..Self::default() }
    }

    /// A message is sent once and may overtake others.
    #[must_use]
    pub fn lossy(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            unordered: true,
            reliability: Reliability::MaxRetransmits(0),
            ..Self::default()
        }
    }
}

/// One DCEP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dcep {
    Open(ChannelConfig),
    Ack,
}

impl Dcep {
    /// # Errors
    /// Unknown message or channel type, a length that does not fit, a name that is not UTF-8 or
    /// longer than [`MAX_LABEL_LEN`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        const TRUNCATED: ParseError = ParseError::Truncated(Format::Dcep);
        match *bytes.first().ok_or(TRUNCATED)? {
            ACK => return Ok(Dcep::Ack),
            OPEN => {}
            _ => return Err(ParseError::WrongKind(Format::Dcep)),
        }
        let (header, rest) = bytes.split_at_checked(OPEN_HEADER_LEN).ok_or(TRUNCATED)?;
        let parameter = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let reliability = match header[1] & !UNORDERED {
            0 => Reliability::Reliable,
            1 => Reliability::MaxRetransmits(parameter),
            2 => Reliability::LifetimeMs(parameter),
            _ => return Err(ParseError::BadValue(Format::Dcep)),
        };
        let label_len = usize::from(u16::from_be_bytes([header[8], header[9]]));
        let protocol_len = usize::from(u16::from_be_bytes([header[10], header[11]]));
        if label_len > MAX_LABEL_LEN || protocol_len > MAX_LABEL_LEN {
            return Err(ParseError::BadLength(Format::Dcep));
        }
        let (label, rest) = rest.split_at_checked(label_len).ok_or(TRUNCATED)?;
        let (protocol, rest) = rest.split_at_checked(protocol_len).ok_or(TRUNCATED)?;
        if !rest.is_empty() {
            return Err(ParseError::BadLength(Format::Dcep));
        }
        Ok(Dcep::Open(ChannelConfig {
            label: text(label)?,
            protocol: text(protocol)?,
            unordered: header[1] & UNORDERED != 0,
            reliability,
        }))
    }

    /// # Errors
    /// `BadLength` when a name is longer than [`MAX_LABEL_LEN`].
    pub(crate) fn build(&self) -> Result<Vec<u8>, ParseError> {
        let Dcep::Open(config) = self else {
            return Ok(vec![ACK]);
        };
        if config.label.len() > MAX_LABEL_LEN || config.protocol.len() > MAX_LABEL_LEN {
            return Err(ParseError::BadLength(Format::Dcep));
        }
        let (kind, parameter) = match config.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::MaxRetransmits(count) => (1, count),
            Reliability::LifetimeMs(lifetime_ms) => (2, lifetime_ms),
        };
        let mut bytes = vec![OPEN, kind | if config.unordered { UNORDERED } else { 0 }];
        bytes.extend(PRIORITY_NORMAL.to_be_bytes());
        bytes.extend(parameter.to_be_bytes());
        bytes.extend((config.label.len() as u16).to_be_bytes());
        bytes.extend((config.protocol.len() as u16).to_be_bytes());
        bytes.extend(config.label.as_bytes());
        bytes.extend(config.protocol.as_bytes());
        Ok(bytes)
    }
}

fn text(bytes: &[u8]) -> Result<String, ParseError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ParseError::BadValue(Format::Dcep))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> ChannelConfig {
        ChannelConfig { protocol: "p".into(), ..ChannelConfig::lossy("lossy") }
    }

    #[test]
    fn open_of_a_browser_is_read() {
        let bytes = b"\x03\x81\x01\x00\x00\x00\x00\x00\x00\x05\x00\x01lossyp";
        assert_eq!(Dcep::parse(bytes), Ok(Dcep::Open(sample())));
        assert_eq!(Dcep::Open(sample()).build().unwrap(), bytes);
        assert_eq!(Dcep::parse(&[2]), Ok(Dcep::Ack));
        assert_eq!(Dcep::Ack.build().unwrap(), [2]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = Dcep::Open(sample()).build().unwrap();
        for len in 0..bytes.len() {
            assert!(Dcep::parse(&bytes[..len]).is_err(), "{len}");
        }
        assert!(Dcep::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn long_names_and_unknown_types_are_refused() {
        let long = ChannelConfig::reliable(&"x".repeat(MAX_LABEL_LEN + 1));
        assert!(Dcep::Open(long).build().is_err());
        let mut bytes = Dcep::Open(sample()).build().unwrap();
        bytes[1] = 0x03;
        assert_eq!(Dcep::parse(&bytes), Err(ParseError::BadValue(Format::Dcep)));
        bytes[1] = 0;
        bytes[12] = 0xFF;
        assert_eq!(Dcep::parse(&bytes), Err(ParseError::BadValue(Format::Dcep)));
        bytes[8] = 0xFF;
        assert_eq!(Dcep::parse(&bytes), Err(ParseError::BadLength(Format::Dcep)));
    }

    proptest! {
        #[test]
        fn what_parses_builds_into_what_parses_the_same(bytes: Vec<u8>) {
            if let Ok(message) = Dcep::parse(&bytes) {
                prop_assert_eq!(Dcep::parse(&message.build().unwrap()), Ok(message));
            }
        }
    }
}
