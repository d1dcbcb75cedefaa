//! Data messages between participants: what is in one, how each dialect writes it, who gets it.
//!
//! A message comes in over a data channel in its sender's dialect, is [`decode`]d, goes through
//! [`routing::RoutingTable`], and is [`encode`]d once per dialect of its receivers, with the sender
//! and the sequence number that the table gave it.

pub mod native;
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
    /// Counts the reliable messages of one sender, from 1; 0 on lossy ones and from clients.
    pub sequence: u32,
    /// Identity of the sender; empty from clients, and for the server itself.
    pub sender: &'a str,
    /// Identities it is for; none means everyone else in the room. Empty towards clients.
    pub destinations: Vec<&'a str>,
    /// Application's name for the kind of message; may be empty.
    pub topic: &'a str,
    /// Opaque.
    pub payload: &'a [u8],
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
    }
}

/// Whether a channel with this label carries data messages, and then whether reliably.
#[must_use]
pub fn channel_kind(dialect: DataDialect, label: &str) -> Option<bool> {
    match dialect {
        DataDialect::Native => native::channel_kind(label),
    }
}
