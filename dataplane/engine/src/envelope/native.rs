//! The envelope of the native dialect.
//!
//! The client opens two data channels: [`RELIABLE_LABEL`] (ordered, reliable) and [`LOSSY_LABEL`]
//! (unordered, no retransmissions), and, where it has data tracks, [`TRACKS_LABEL`] (as the latter) for
//! their packets. Each binary message on the first two is one envelope, at most 65 536 bytes. Integers are unsigned and big-endian, text is UTF-8 without terminator:
//!
//! | Field | Type | From a client | From the server |
//! | --- | --- | --- | --- |
//! | version | u8 | 1 | 1 |
//! | flags | u8 | 0 | 0 |
//! | sequence | u32 | 0 | on `reliable`: counts the messages of this sender from 1; on `lossy`: 0 |
//! | sender length | u16 | 0 | at most 256 |
//! | sender | text | | identity; empty: the server, or a hidden participant |
//! | destination count | u8 | 0: everyone else in the room | 0 |
//! | each: length, identity | u16, text | at most 256 bytes each | |
//! | topic length | u16 | at most 256 | at most 256 |
//! | topic | text | may be empty; `airside/...` goes to the server only | as sent |
//! | payload | bytes | the rest; may be empty | as sent |
//!
//! A reader ignores flags that it does not know, and drops a message of another version. What a
//! client writes into sequence and sender is ignored. Sequence numbers rise by one per message of a
//! sender, whoever it was for: one who is not among the destinations of each sees gaps.

use crate::command::DataDialect;
use crate::error::{Format, ParseError};

use super::{DataChannel, DataMessage, MAX_IDENTITY_LEN, MAX_TOPIC_LEN};

/// Label of the ordered, reliable channel.
pub const RELIABLE_LABEL: &str = "reliable";
/// Label of the unordered channel without retransmissions.
pub const LOSSY_LABEL: &str = "lossy";

/// Label of the channel for packets of data tracks.
pub const TRACKS_LABEL: &str = "tracks";

pub(super) const LABELS: [(DataChannel, &str); 3] = [
    (DataChannel::Reliable, RELIABLE_LABEL),
    (DataChannel::Lossy, LOSSY_LABEL),
    (DataChannel::Tracks, TRACKS_LABEL),
];

const VERSION: u8 = 1;
const TRUNCATED: ParseError = ParseError::Truncated(Format::Envelope);

/// Reads one envelope; `reliable` says on which channel it came.
///
/// # Errors
/// Another version, a text that ends outside the message, is too long or not UTF-8.
pub fn decode(reliable: bool, bytes: &[u8]) -> Result<DataMessage<'_>, ParseError> {
    let (&[version, _flags, s0, s1, s2, s3], mut rest) =
        bytes.split_first_chunk().ok_or(TRUNCATED)?;
    if version != VERSION {
        return Err(ParseError::BadVersion(Format::Envelope));
    }
    let sender = take_text(&mut rest, MAX_IDENTITY_LEN)?;
    let (count, after) = rest.split_first().ok_or(TRUNCATED)?;
    rest = after;
    let destinations =
        (0..*count).map(|_| take_text(&mut rest, MAX_IDENTITY_LEN)).collect::<Result<_, _>>()?;
    let topic = take_text(&mut rest, MAX_TOPIC_LEN)?;
    Ok(DataMessage {
        reliable,
        sequence: u32::from_be_bytes([s0, s1, s2, s3]),
        sender,
        destinations,
        topic,
        payload: rest,
        ..DataMessage::default()
    })
}

/// Appends one envelope to `out`.
///
/// # Errors
/// `BadLength` when a text is too long or there are more than 255 destinations; `out` is then as
/// it was.
pub fn encode(message: &DataMessage<'_>, out: &mut Vec<u8>) -> Result<(), ParseError> {
    const BAD_LENGTH: ParseError = ParseError::BadLength(Format::Envelope);
    if !message.is_for(DataDialect::Native) {
        return Err(ParseError::WrongKind(Format::Envelope));
    }
    let count = u8::try_from(message.destinations.len()).map_err(|_| BAD_LENGTH)?;
    let mut identities = message.destinations.iter().chain([&message.sender]);
    if message.topic.len() > MAX_TOPIC_LEN || identities.any(|id| id.len() > MAX_IDENTITY_LEN) {
        return Err(BAD_LENGTH);
    }
    out.extend([VERSION, 0]);
    out.extend(message.sequence.to_be_bytes());
    put_text(out, message.sender);
    out.push(count);
    for destination in &message.destinations {
        put_text(out, destination);
    }
    put_text(out, message.topic);
    out.extend_from_slice(message.payload);
    Ok(())
}

fn take_text<'a>(rest: &mut &'a [u8], max_len: usize) -> Result<&'a str, ParseError> {
    let (len, after) = rest.split_first_chunk().ok_or(TRUNCATED)?;
    let len = usize::from(u16::from_be_bytes(*len));
    if len > max_len {
        return Err(ParseError::BadLength(Format::Envelope));
    }
    let (text, after) = after.split_at_checked(len).ok_or(TRUNCATED)?;
    *rest = after;
    std::str::from_utf8(text).map_err(|_| ParseError::BadValue(Format::Envelope))
}

/// The caller has checked the length.
fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> DataMessage<'static> {
        DataMessage {
            reliable: true,
            sequence: 0x0102_0304,
            sender: "ada",
            destinations: vec!["bob", "\u{e9}ve"],
            topic: "chat",
            payload: b"hi",
            ..DataMessage::default()
        }
    }

    /// The sample in bytes, for other implementations to compare with.
    const SAMPLE: &[u8] =
        b"\x01\x00\x01\x02\x03\x04\x00\x03ada\x02\x00\x03bob\x00\x04\xc3\xa9ve\x00\x04chathi";

    #[test]
    fn layout_is_the_documented_one() {
        let mut bytes = vec![];
        encode(&sample(), &mut bytes).unwrap();
        assert_eq!(bytes, SAMPLE);
        assert_eq!(decode(true, SAMPLE), Ok(sample()));
        assert_eq!(decode(false, b"\x01\0\0\0\0\0\0\0\0\0\0"), Ok(DataMessage::default()));
    }

    #[test]
    fn every_truncation_within_the_header_is_an_error() {
        for len in 0..SAMPLE.len() - 2 {
            assert_eq!(decode(true, &SAMPLE[..len]), Err(TRUNCATED), "{len}");
        }
    }

    #[test]
    fn unknown_flags_pass_and_other_versions_do_not() {
        let mut bytes = SAMPLE.to_vec();
        bytes[1] = 0xFF;
        assert_eq!(decode(true, &bytes), Ok(sample()));
        for version in [0, 2, 255] {
            bytes[0] = version;
            assert_eq!(decode(true, &bytes), Err(ParseError::BadVersion(Format::Envelope)));
        }
    }

    #[test]
    fn long_and_broken_texts_are_refused() {
        let mut bytes = SAMPLE.to_vec();
        bytes[8] = 0xFF;
        assert_eq!(decode(true, &bytes), Err(ParseError::BadValue(Format::Envelope)));
        bytes[6] = 1;
        assert_eq!(decode(true, &bytes), Err(ParseError::BadLength(Format::Envelope)));
        let long = "x".repeat(257);
        let mut out = vec![];
        for message in [
            DataMessage { topic: &long, ..sample() },
            DataMessage { sender: &long, ..sample() },
            DataMessage { destinations: vec![&long], ..sample() },
            DataMessage { destinations: vec![""; 256], ..sample() },
        ] {
            assert_eq!(encode(&message, &mut out), Err(ParseError::BadLength(Format::Envelope)));
            assert!(out.is_empty());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            sequence: u32,
            sender in ".{0,60}",
            destinations in prop::collection::vec(".{0,20}", 0..8),
            topic in ".{0,60}",
            payload: Vec<u8>,
        ) {
            let message = DataMessage {
                reliable: true,
                sequence,
                sender: &sender,
                destinations: destinations.iter().map(String::as_str).collect(),
                topic: &topic,
                payload: &payload,
                ..DataMessage::default()
            };
            let mut bytes = vec![];
            encode(&message, &mut bytes).unwrap();
            prop_assert_eq!(decode(true, &bytes), Ok(message));
        }

        #[test]
        fn whatever_is_read_is_written_the_same(
            mut bytes: Vec<u8>,
            cuts in prop::collection::vec((0usize..40, 0u8..5), 0..8),
        ) {
            for (at, value) in cuts {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            if let Ok(message) = decode(false, &bytes) {
                let mut written = vec![];
                encode(&message, &mut written).unwrap();
                bytes[1] = 0;
                prop_assert_eq!(written, bytes);
            }
        }
    }
}
