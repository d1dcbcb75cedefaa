//! Messages out, and who is too slow for them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::PayloadProtocolIdentifier;

use super::channel::{Channel, protocol_of};
use super::{
    MAX_LOSSY_BUFFER, MAX_MESSAGE_LEN, MAX_RELIABLE_BUFFER, SctpAssociation, SctpEvent, SendError,
    State,
};

/// Unacknowledged messages of one association. Each costs some 300 bytes besides its data.
pub(super) const MAX_HELD_MESSAGES: usize = 4096;
/// A reliable receiver that stays full for so long is reported.
const STALL_LIMIT: Duration = Duration::from_secs(5);

impl SctpAssociation {
    /// Queues one message. `data` is shared, not copied.
    ///
    /// # Errors
    /// See [`SendError`]. After `Full` on a reliable channel the receiver misses a message; when that
    /// goes on for 5 s, [`SctpEvent::Stalled`] says to cut it off.
    pub fn send(
        &mut self,
        channel: u16,
        binary: bool,
        data: &Bytes,
        now: Instant,
    ) -> Result<(), SendError> {
        if data.len() > MAX_MESSAGE_LEN {
            return Err(SendError::TooBig);
        }
        if self.state != State::Up {
            return Err(SendError::NoChannel);
        }
        let reliable = self.channels.get(&channel).ok_or(SendError::NoChannel)?.is_reliable();
        self.update_held();
        if !self.has_room(channel, data.len(), reliable) {
            self.stats.dropped_messages += 1;
            if reliable {
                self.on_full(now);
            }
            return Err(SendError::Full);
        }
        let data = if data.is_empty() {
            (protocol_of(binary, true), Bytes::from_static(&[0]))
        } else {
            (protocol_of(binary, false), data.clone())
        };
        let sent = self.contained(|this| this.write(channel, data.0, data.1));
        self.collect(now);
        if sent == Some(true) { Ok(()) } else { Err(SendError::NoChannel) }
    }

    /// Bytes on a channel that the peer has not acknowledged, whole messages counted.
    #[must_use]
    pub fn buffered_amount(&mut self, channel: u16) -> usize {
        self.update_held();
        self.channels.get(&channel).map_or(0, Channel::held_bytes)
    }

    /// False when the stream is closed, or closing.
    pub(super) fn write(
        &mut self,
        id: u16,
        protocol: PayloadProtocolIdentifier,
        data: Bytes,
    ) -> bool {
        let Some(association) = &mut self.association else { return false };
        let Ok(mut stream) = association.stream(id) else { return false };
        let len = data.len();
        let written = stream.set_default_payload_type(protocol).is_ok()
            && stream.write_chunks(&mut [data]).is_ok();
        if let Some(channel) = self.channels.get_mut(&id).filter(|_| written) {
            channel.on_written(len);
        }
        written
    }

    fn update_held(&mut self) {
        let Some(association) = &mut self.association else { return };
        for (id, channel) in &mut self.channels {
            let buffered = association.stream(*id).and_then(|stream| stream.buffered_amount());
            channel.on_buffered(buffered.unwrap_or(0));
        }
    }

    fn reliable_held(&self) -> usize {
        self.channels.values().filter(|c| c.is_reliable()).map(Channel::held_bytes).sum()
    }

    fn has_room(&mut self, channel: u16, len: usize, reliable: bool) -> bool {
        let messages: usize = self.channels.values().map(Channel::held_messages).sum();
        let held = self.channels.get(&channel).map_or(0, Channel::held_bytes);
        if messages >= MAX_HELD_MESSAGES {
            return false;
        }
        if !reliable {
            // What is stale counts by the byte: the last packet of a message is acknowledged up to
            // 200 ms late (RFC 9260, section 6.2), and must not keep out the next one. What is held
            // counts by whole messages. One message always passes, however long.
            let stale = self.channels.get(&channel).map_or(0, Channel::unacknowledged);
            let bounded = stale + len <= MAX_LOSSY_BUFFER && held + len <= 2 * MAX_LOSSY_BUFFER;
            return held == 0 || bounded;
        }
        let total = self.reliable_held();
        if total < MAX_RELIABLE_BUFFER / 2 && messages < MAX_HELD_MESSAGES / 2 {
            self.full_since = None;
        }
        total + len <= MAX_RELIABLE_BUFFER
    }

    fn on_full(&mut self, now: Instant) {
        let since = *self.full_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= STALL_LIMIT {
            self.full_since = Some(now);
            self.events.push_back(SctpEvent::Stalled);
        }
    }
}
