//! What an association tells: events, refusals, counters.

use bytes::Bytes;

use super::ChannelConfig;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SctpEvent {
    /// Channels can be opened and messages sent.
    Up,
    /// Over; nothing follows. The peer aborted, broke the protocol or went beyond a limit.
    Lost,
    /// The peer opened a channel.
    ChannelOpened {
        /// Its stream id, the handle for everything else.
        channel: u16,
        /// What the peer asked for, which holds in both directions.
        config: ChannelConfig,
    },
    /// One message.
    Message {
        /// On which channel.
        channel: u16,
        /// Bytes rather than text. Text is not checked for UTF-8.
        binary: bool,
        /// At most [`super::MAX_MESSAGE_LEN`] bytes.
        data: Bytes,
    },
    /// The peer closed a channel.
    ChannelClosed {
        /// Which.
        channel: u16,
    },
    /// The receiver of reliable messages has been full for 5 s: messages to it are lost, cut it off.
    Stalled,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The receiver does not keep up.
    #[error("data channel is full")]
    Full,
    /// No such open channel.
    #[error("no such data channel")]
    NoChannel,
    /// More than [`super::MAX_MESSAGE_LEN`] bytes.
    #[error("message is too long")]
    TooBig,
}

/// Why a channel could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The association is lost.
    #[error("SCTP association is lost")]
    Lost,
    /// [`super::MAX_CHANNELS`] are open, or the id is taken.
    #[error("no free data channel")]
    NoneFree,
    /// Label or protocol are longer than [`super::MAX_LABEL_LEN`].
    #[error("label is too long")]
    BadLabel,
}

/// What has been counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SctpStats {
    /// Packets that did not pass inspection.
    pub rejected_packets: u64,
    /// Messages longer than the limit, on no channel, or of a kind we do not know.
    pub rejected_messages: u64,
    /// Channels that the peer could not have.
    pub rejected_channels: u64,
    /// Messages that were not taken because a channel was full.
    pub dropped_messages: u64,
}
