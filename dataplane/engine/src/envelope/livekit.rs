//! The envelope of LiveKit's clients: a protobuf `DataPacket` on two channels, [`RELIABLE_LABEL`] and
//! [`LOSSY_LABEL`].
//!
//! Only a `user` packet is a message with topic and payload for everybody. All others (RPC, streams,
//! chat, transcriptions, encrypted packets, whatever comes next) are for clients of this dialect
//! alone, and pass as they are: of them only who they are for is read, and who sent them is written.
//!
//! Source: livekit_models.proto (`DataPacket`, `UserPacket`); the rules are those of LiveKit's server.

use crate::command::DataDialect;
use crate::error::{Format, ParseError};

use super::protobuf::{Fields, put_bytes, put_number, put_text};
use super::{Content, DataChannel, DataMessage, MAX_IDENTITY_LEN, Original};

/// Label of the ordered, reliable channel.
pub const RELIABLE_LABEL: &str = "_reliable";
/// Label of the unordered channel without retransmissions.
pub const LOSSY_LABEL: &str = "_lossy";
/// Label of the channel of data tracks.
pub const TRACKS_LABEL: &str = "_data_track";

pub(super) const LABELS: [(DataChannel, &str); 3] = [
    (DataChannel::Reliable, RELIABLE_LABEL),
    (DataChannel::Lossy, LOSSY_LABEL),
    (DataChannel::Tracks, TRACKS_LABEL),
];

/// Most destinations of one message; more is for the room.
const MAX_DESTINATIONS: usize = 4096;
/// Longest topic: it is part of a message that is short enough as a whole.
const MAX_TEXT_LEN: usize = 64 * 1024;
/// `DataPacket.Kind`: 0 is reliable.
const LOSSY: u64 = 1;

mod packet {
    pub(super) const KIND: u32 = 1;
    pub(super) const USER: u32 = 2;
    pub(super) const IDENTITY: u32 = 4;
    pub(super) const DESTINATIONS: u32 = 5;
    pub(super) const TRANSCRIPTION: u32 = 7;
    pub(super) const METRICS: u32 = 8;
    pub(super) const CHAT: u32 = 9;
    pub(super) const STREAM_HEADER: u32 = 13;
    pub(super) const SEQUENCE: u32 = 16;
    pub(super) const SID: u32 = 17;
}

mod user {
    pub(super) const SID: u32 = 1;
    pub(super) const PAYLOAD: u32 = 2;
    pub(super) const DESTINATION_SIDS: u32 = 3;
    pub(super) const TOPIC: u32 = 4;
    pub(super) const IDENTITY: u32 = 5;
    pub(super) const DESTINATIONS: u32 = 6;
    pub(super) const NONCE: u32 = 11;
}

/// `ChatMessage.generated`.
const CHAT_GENERATED: u32 = 6;
/// `DataStream.Header.text_header`, and `generated` in it.
const TEXT_HEADER: u32 = 9;
const TEXT_GENERATED: u32 = 5;

/// Reads one packet; `reliable` says on which channel it came, whatever the packet says.
///
/// # Errors
/// It is no protobuf, a field is of another type than it should be, or there are too many
/// destinations.
pub fn decode(reliable: bool, bytes: &[u8]) -> Result<DataMessage<'_>, ParseError> {
    let mut original =
        Original { dialect: DataDialect::LiveKit, bytes, content: Content::Other, nonce: &[] };
    let mut message = DataMessage { reliable, ..DataMessage::default() };
    let mut inner = None;
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            packet::USER => inner = Some(field.bytes()?),
            packet::IDENTITY => message.author = field.text(MAX_IDENTITY_LEN)?,
            packet::DESTINATIONS => {
                add(&mut message.destinations, field.text(MAX_IDENTITY_LEN)?)?;
            }
            packet::TRANSCRIPTION => original.content = Content::Transcription,
            packet::METRICS => original.content = Content::Metrics,
            packet::CHAT | packet::STREAM_HEADER => original.content = Content::Spoken,
            packet::SEQUENCE => {
                message.sequence = u32::try_from(field.number()?)
                    .map_err(|_| ParseError::BadValue(Format::Envelope))?;
            }
            _ => {}
        }
    }
    if let Some(inner) = inner {
        original.content = Content::Plain;
        read_user(inner, &mut message, &mut original)?;
    }
    message.original = Some(original);
    Ok(message)
}

fn read_user<'a>(
    bytes: &'a [u8],
    message: &mut DataMessage<'a>,
    original: &mut Original<'a>,
) -> Result<(), ParseError> {
    let mut destinations = vec![];
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            user::PAYLOAD => message.payload = field.bytes()?,
            user::TOPIC => message.topic = field.text(MAX_TEXT_LEN)?,
            user::DESTINATION_SIDS => {
                add(&mut message.destination_sids, field.text(MAX_IDENTITY_LEN)?)?;
            }
            user::DESTINATIONS => add(&mut destinations, field.text(MAX_IDENTITY_LEN)?)?,
            user::NONCE => original.nonce = field.bytes()?,
            _ => {}
        }
    }
    if message.destinations.is_empty() {
        message.destinations = destinations;
    }
    Ok(())
}

fn add<'a>(list: &mut Vec<&'a str>, text: &'a str) -> Result<(), ParseError> {
    if list.len() == MAX_DESTINATIONS {
        return Err(ParseError::BadLength(Format::Envelope));
    }
    list.push(text);
    Ok(())
}

/// Appends one packet to `out`: the original with its sender set anew, or a `user` packet.
///
/// # Errors
/// `BadLength` when the message is one that this dialect cannot hold; `out` is then as it was.
pub fn encode(message: &DataMessage<'_>, out: &mut Vec<u8>) -> Result<(), ParseError> {
    let start = out.len();
    let written = match message.original {
        Some(original) if original.dialect == DataDialect::LiveKit => {
            rewrite(message, &original, out)
        }
        Some(original) if original.content != Content::Plain => {
            Err(ParseError::WrongKind(Format::Envelope))
        }
        _ => {
            put_bytes(out, packet::USER, &user_packet(message, &[])?);
            put_number(out, packet::SEQUENCE, u64::from(message.sequence));
            Ok(())
        }
    };
    if written.is_err() {
        out.truncate(start);
        return written;
    }
    put_number(out, packet::KIND, if message.reliable { 0 } else { LOSSY });
    put_text(out, packet::IDENTITY, identity(message));
    put_text(out, packet::SID, message.sender_sid);
    Ok(())
}

/// Whom the receiver shall take for the author.
fn identity<'a>(message: &DataMessage<'a>) -> &'a str {
    if message.author.is_empty() { message.sender } else { message.author }
}

fn rewrite(
    message: &DataMessage<'_>,
    original: &Original<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    let mut listed = false;
    let mut inner = None;
    for field in Fields::new(original.bytes) {
        let field = field?;
        match field.number {
            packet::KIND | packet::IDENTITY | packet::SID => {}
            packet::USER => inner = Some(field.bytes()?),
            packet::CHAT if !message.author.is_empty() => {
                let mut chat = field.bytes()?.to_vec();
                put_number(&mut chat, CHAT_GENERATED, 1);
                put_bytes(out, packet::CHAT, &chat);
            }
            packet::STREAM_HEADER if !message.author.is_empty() => {
                put_bytes(out, packet::STREAM_HEADER, &generated_header(field.bytes()?)?);
            }
            number => {
                listed |= number == packet::DESTINATIONS;
                out.extend_from_slice(field.whole);
            }
        }
    }
    if let Some(inner) = inner {
        put_bytes(out, packet::USER, &user_packet(message, inner)?);
        for destination in message.destinations.iter().filter(|_| !listed) {
            put_bytes(out, packet::DESTINATIONS, destination.as_bytes());
        }
    }
    Ok(())
}

/// A `UserPacket`: what `original` has beyond the message, and the message.
fn user_packet(message: &DataMessage<'_>, original: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut out = Vec::with_capacity(message.payload.len() + original.len() + 64);
    for field in Fields::new(original) {
        let field = field?;
        let set_anew = [user::SID, user::PAYLOAD, user::TOPIC, user::IDENTITY, user::DESTINATIONS];
        if !set_anew.contains(&field.number) {
            out.extend_from_slice(field.whole);
        }
    }
    put_text(&mut out, user::SID, message.sender_sid);
    put_bytes(&mut out, user::PAYLOAD, message.payload);
    put_text(&mut out, user::TOPIC, message.topic);
    put_text(&mut out, user::IDENTITY, message.sender);
    for destination in &message.destinations {
        put_bytes(&mut out, user::DESTINATIONS, destination.as_bytes());
    }
    Ok(out)
}

/// A stream header that says that somebody speaks for another; only text can.
fn generated_header(header: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut out = Vec::with_capacity(header.len() + 8);
    for field in Fields::new(header) {
        let field = field?;
        if field.number == TEXT_HEADER {
            let mut text = field.bytes()?.to_vec();
            put_number(&mut text, TEXT_GENERATED, 1);
            put_bytes(&mut out, TEXT_HEADER, &text);
        } else {
            out.extend_from_slice(field.whole);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet of LiveKit's own encoder: identity `mallory`, sid `PA_m`, kind lossy, to bob, number
    /// 7, `user` with payload `hi`, topic `chat`, destination eve, nonce `n`.
    const SAMPLE: &[u8] =
        b"\x08\x01\x12\x12\x12\x02hi\x22\x04chat\x32\x03eve\x5a\x01n\x22\x07mallory\x2a\x03bob\x80\x01\x07\x8a\x01\x04PA_m";

    fn stamped<'a>(message: DataMessage<'a>) -> DataMessage<'a> {
        DataMessage { sender: "ada", sender_sid: "PA_a", author: "", ..message }
    }

    #[test]
    fn a_user_packet_is_read() {
        let message = decode(true, SAMPLE).unwrap();
        assert_eq!((message.topic, message.payload), ("chat", b"hi".as_slice()));
        assert_eq!(message.destinations, ["bob"], "the packet's list counts, not the inner one");
        assert_eq!((message.sequence, message.author), (7, "mallory"));
        let original = message.original.unwrap();
        assert_eq!((original.content, original.nonce), (Content::Plain, b"n".as_slice()));
    }

    #[test]
    fn the_sender_is_written_anew_and_the_rest_stays() {
        let mut out = vec![];
        encode(&stamped(decode(true, SAMPLE).unwrap()), &mut out).unwrap();
        let message = decode(false, &out).unwrap();
        assert_eq!(message.author, "ada");
        assert_eq!(message.destinations, ["bob"]);
        assert_eq!((message.sequence, message.payload), (7, b"hi".as_slice()));
        assert!(!out.windows(7).any(|bytes| bytes == b"mallory"));
        assert!(out.windows(4).any(|bytes| bytes == b"PA_a"));
        assert!(!out.windows(4).any(|bytes| bytes == b"PA_m"));
        assert!(!out.starts_with(b"\x08\x01"), "it is reliable, whatever its sender said");
    }

    #[test]
    fn what_is_not_understood_passes_as_it_is() {
        // rpc_request 10 and an unknown field 900.
        let bytes = b"\x52\x04\x0a\x02id\xa2\x38\x01x";
        let message = decode(true, bytes).unwrap();
        assert_eq!(message.original.unwrap().content, Content::Other);
        let mut out = vec![];
        encode(&stamped(message), &mut out).unwrap();
        assert!(out.starts_with(bytes));
        let mut native = vec![];
        let other = DataMessage {
            original: decode(true, bytes).unwrap().original,
            ..DataMessage::default()
        };
        assert!(
            super::super::native::encode(&other, &mut native).is_err(),
            "natives cannot read it"
        );
    }

    #[test]
    fn an_agent_speaks_for_another() {
        let chat = b"\x4a\x04\x22\x02hi\x22\x03bob";
        let message = decode(true, chat).unwrap();
        assert_eq!(message.original.unwrap().content, Content::Spoken);
        let mut out = vec![];
        encode(&DataMessage { sender: "agent", sender_sid: "PA_g", ..message }, &mut out).unwrap();
        assert_eq!(out, b"\x4a\x06\x22\x02hi\x30\x01\x22\x03bob\x8a\x01\x04PA_g");
        let header = b"\x6a\x06\x0a\x01s\x4a\x01\x08\x22\x03bob";
        assert!(decode(true, header).is_ok());
    }

    #[test]
    fn native_messages_become_user_packets() {
        let message = DataMessage {
            reliable: false,
            sender: "ada",
            sender_sid: "PA_a",
            topic: "chat",
            payload: b"hi",
            ..DataMessage::default()
        };
        let mut out = vec![];
        encode(&message, &mut out).unwrap();
        let expected = b"\x12\x15\x0a\x04PA_a\x12\x02hi\x22\x04chat\x2a\x03ada\x08\x01\x22\x03ada\x8a\x01\x04PA_a";
        assert_eq!(out, expected);
    }

    #[test]
    fn broken_packets_are_refused() {
        for len in [1, 3, 10, SAMPLE.len() - 1] {
            assert!(decode(true, &SAMPLE[..len]).is_err(), "{len}");
        }
        assert!(decode(true, b"\x2a\x01\xff").is_err(), "an identity is UTF-8");
        assert!(decode(true, b"\x12\x02\x12\x05").is_err(), "the inner message is cut off");
        let many: Vec<u8> = b"\x2a\x01a".repeat(MAX_DESTINATIONS + 1);
        assert!(decode(true, &many).is_err());
        assert_eq!(decode(true, b"").unwrap().original.unwrap().content, Content::Other);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_what_is_read_is_written(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            start in prop::sample::select(vec![&b""[..], b"\x12\x0a", b"\x6a\x08\x4a\x02", SAMPLE]),
        ) {
            let mut whole = start.to_vec();
            whole.append(&mut bytes);
            if let Ok(message) = decode(true, &whole) {
                let mut out = vec![];
                // Inner messages of what passes by are not looked at until an agent speaks.
                if encode(&stamped(message.clone()), &mut out).is_ok() {
                    let again = decode(true, &out).unwrap();
                    prop_assert_eq!(again.payload, message.payload);
                    prop_assert_eq!(&again.destinations, &message.destinations);
                    prop_assert_eq!(again.author, "ada");
                }
                let mut out = vec![];
                let _ = encode(&DataMessage { author: "bob", ..message }, &mut out);
            }
        }
    }
}
