//! One data channel, and how much of it is under way.

use std::collections::VecDeque;

use sctp_proto::{PayloadProtocolIdentifier, ReliabilityType};

use super::dcep::{ChannelConfig, Reliability};

/// State of one channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) config: ChannelConfig,
    /// OPEN was sent and not yet acknowledged: until then everything goes in order, or it could
    /// overtake the OPEN (RFC 8832, section 6).
    pub(crate) waits_for_ack: bool,
    /// Sizes of the messages that the state machine holds, oldest first.
    held: VecDeque<u32>,
    held_bytes: usize,
    /// Of them, what the peer has not acknowledged.
    unacknowledged: usize,
}

impl Channel {
    pub(crate) fn new(config: ChannelConfig, waits_for_ack: bool) -> Self {
        Self { config, waits_for_ack, held: VecDeque::new(), held_bytes: 0, unacknowledged: 0 }
    }

    pub(crate) fn is_reliable(&self) -> bool {
        self.config.reliability == Reliability::Reliable
    }

    /// Parameters for the state machine: unordered, kind, value.
    pub(crate) fn sctp_params(&self) -> (bool, ReliabilityType, u32) {
        let (kind, value) = match self.config.reliability {
            Reliability::Reliable => (ReliabilityType::Reliable, 0),
            Reliability::MaxRetransmits(count) => (ReliabilityType::Rexmit, count),
            Reliability::LifetimeMs(lifetime_ms) => (ReliabilityType::Timed, lifetime_ms),
        };
        (self.config.unordered && !self.waits_for_ack, kind, value)
    }

    pub(crate) fn on_written(&mut self, len: usize) {
        self.held.push_back(len as u32);
        self.held_bytes += len;
        self.unacknowledged += len;
    }

    /// Takes over what the state machine says is still buffered, in bytes.
    pub(crate) fn on_buffered(&mut self, buffered_bytes: usize) {
        self.unacknowledged = buffered_bytes;
        while let Some(oldest) = self.held.front().map(|len| *len as usize) {
            if self.held_bytes < buffered_bytes + oldest {
                break;
            }
            self.held.pop_front();
            self.held_bytes -= oldest;
        }
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    pub(crate) fn held_messages(&self) -> usize {
        self.held.len()
    }
}

/// Protocol identifier of a message (RFC 8831, section 8), and whether it needs a dummy byte:
/// SCTP cannot carry a message without bytes.
pub(crate) fn protocol_of(binary: bool, empty: bool) -> PayloadProtocolIdentifier {
    match (binary, empty) {
        (true, false) => PayloadProtocolIdentifier::Binary,
        (true, true) => PayloadProtocolIdentifier::BinaryEmpty,
        (false, false) => PayloadProtocolIdentifier::String,
        (false, true) => PayloadProtocolIdentifier::StringEmpty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_when_all_their_bytes_have() {
        let mut channel = Channel::new(ChannelConfig::reliable("reliable"), false);
        for len in [100, 10, 50] {
            channel.on_written(len);
        }
        channel.on_buffered(160);
        assert_eq!((channel.held_messages(), channel.held_bytes()), (3, 160));
        channel.on_buffered(61);
        assert_eq!((channel.held_messages(), channel.held_bytes()), (3, 160));
        assert_eq!(channel.unacknowledged(), 61);
        channel.on_buffered(60);
        assert_eq!((channel.held_messages(), channel.held_bytes()), (2, 60));
        channel.on_buffered(0);
        assert_eq!((channel.held_messages(), channel.held_bytes()), (0, 0));
    }

    #[test]
    fn nothing_overtakes_an_unacknowledged_open() {
        let mut channel = Channel::new(ChannelConfig::lossy("lossy"), true);
        assert_eq!(channel.sctp_params(), (false, ReliabilityType::Rexmit, 0));
        channel.waits_for_ack = false;
        assert_eq!(channel.sctp_params(), (true, ReliabilityType::Rexmit, 0));
    }
}
