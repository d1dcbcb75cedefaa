//! Data messages between participants: what is in one, how each dialect writes it, who gets it.
//!
//! A message comes in over a data channel in its sender's dialect, is [`decode`]d, goes through
//! [`routing::RoutingTable`], and is [`encode`]d once per dialect of its receivers, with the sender
//! and the sequence number that the table gave it.

pub(crate) mod data_tracks;
pub(crate) mod held;
pub mod livekit;
pub mod native;
mod protobuf;
pub mod routing;

use crate::command::DataDialect;
use crate::error::ParseError;

/// Longest topic, in bytes.
pub const MAX_TOPIC_LEN: usize = 256;
/// Longest identity of a participant, in bytes.
pub const MAX_IDENTITY_LEN: usize = 256;
/// What begins with this is for the server, from clients, or from the server.
pub const RESERVED_TOPIC_PREFIX: &str = "airside/";

/// One data message, whatever its dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataMessage<'a> {
    /// Came over, or goes to, the channel on which nothing is lost.
    pub reliable: bool,
    /// Counts the reliable messages of one sender, from 1; 0 on lossy ones, and from clients that do
    /// not count.
    pub sequence: u32,
    /// Identity of the sender; empty from clients, for the server itself, and for somebody hidden.
    pub sender: &'a str,
    /// Its public id; empty likewise.
    pub sender_sid: &'a str,
    /// Whom the sender speaks for, where its dialect has that and it may; else empty.
    pub author: &'a str,
    /// Identities it is for; none, here and below, means everyone else in the room.
    pub destinations: Vec<&'a str>,
    /// Public ids it is for.
    pub destination_sids: Vec<&'a str>,
    /// Application's name for the kind of message; may be empty.
    pub topic: &'a str,
    /// Opaque.
    pub payload: &'a [u8],
    /// The whole message, from a dialect that says more than the fields here.
    pub original: Option<Original<'a>>,
}

/// A message as its sender wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original<'a> {
    /// Only its clients can read all of it.
    pub dialect: DataDialect,
    /// All of it.
    pub bytes: &'a [u8],
    /// What it is about.
    pub content: Content,
    /// The same in every repetition of a message; empty: there are none.
    pub nonce: &'a [u8],
}

/// What routing must know of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Topic and payload: clients of every dialect can read it.
    Plain,
    /// Somebody's words, written or spoken: an agent may say them for another.
    Spoken,
    /// Speech as text: from agents only.
    Transcription,
    /// Figures about the sender: for those who may have them.
    Metrics,
    /// Between clients of one dialect.
    Other,
}

impl DataMessage<'_> {
    /// Clients of this dialect can read it.
    #[must_use]
    pub fn is_for(&self, dialect: DataDialect) -> bool {
        self.original.is_none_or(|original| {
            original.content == Content::Plain || original.dialect == dialect
        })
    }
}

/// Reads a message that arrived on a channel.
///
/// # Errors
/// The peer's bytes are not what its dialect allows.
pub fn decode(
    dialect: DataDialect,
    reliable: bool,
    bytes: &[u8],
) -> Result<DataMessage<'_>, ParseError> {
    match dialect {
        DataDialect::Native => native::decode(reliable, bytes),
        DataDialect::LiveKit => livekit::decode(reliable, bytes),
    }
}

/// Appends a message to `out` as the receivers of this dialect want it.
///
/// # Errors
/// `BadLength` when a field is longer than the dialect can say.
pub fn encode(
    dialect: DataDialect,
    message: &DataMessage<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    match dialect {
        DataDialect::Native => native::encode(message, out),
        DataDialect::LiveKit => livekit::encode(message, out),
    }
}

/// The channels of one transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataChannel {
    /// Messages, of which none is lost.
    Reliable,
    /// Messages that may be.
    Lossy,
    /// Packets of data tracks.
    Tracks,
}

impl DataChannel {
    /// For messages of this kind.
    #[must_use]
    pub const fn of_messages(reliable: bool) -> Self {
        if reliable { Self::Reliable } else { Self::Lossy }
    }
}

/// What a channel with this label is for; None: nothing of ours.
#[must_use]
pub fn channel_kind(dialect: DataDialect, label: &str) -> Option<DataChannel> {
    labels(dialect).iter().find(|(_, known)| *known == label).map(|(channel, _)| *channel)
}

/// The channels of a dialect with their labels, for whoever opens them.
#[must_use]
pub fn labels(dialect: DataDialect) -> &'static [(DataChannel, &'static str)] {
    match dialect {
        DataDialect::Native => &native::LABELS,
        DataDialect::LiveKit => &livekit::LABELS,
    }
}
