//! Data channels: SCTP over DTLS (RFC 8261, 8831) with DCEP (RFC 8832), on `sctp-proto`.
//!
//! [`SctpAssociation`] gets the data of DTLS records and gives packets that fit into one.
//! After each `handle_*`, `open_channel` or `send`, drain [`SctpAssociation::poll_transmit`] and
//! [`SctpAssociation::poll_event`].
//!
//! What is done here and not in `sctp-proto` (0.10.8), because it has no limit or is too strict:
//! - it closes a live association on a late duplicate of the INIT: dropped here;
//! - it keeps DATA far behind a gap without a limit, makes a stream for any id, and packets longer than the path takes: see `packet.rs`;
//! - it keeps received fragments by their bytes alone: here they are counted too;
//! - it sorts by serial numbers, which is no total order for a hostile peer, and sorting may then
//!   panic: a panic ends the association, nothing else;
//! - it has no way to abort, hence a lost association is silent: DTLS or ICE say the rest;
//! - it reads the clock once, in `Endpoint::connect`, for the first INIT timer of a client.

mod channel;
mod dcep;
mod packet;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use airside_dtls::{MAX_DATA_LEN, Role};
use bytes::Bytes;
use sctp_proto::{
    Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};

pub use dcep::{ChannelConfig, MAX_LABEL_LEN, Reliability};

use channel::{Channel, protocol_of};
use dcep::Dcep;

/// Longest message in and out, in bytes; goes into SDP as `a=max-message-size`. LiveKit's clients
/// stop at 64 000, and a larger one would hold up everything behind it.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// SCTP port of both ends, `a=sctp-port` (RFC 8841). Every browser uses it.
pub const SCTP_PORT: u16 = 5000;
/// Channels of one association. Our dialects use two or three.
pub const MAX_CHANNELS: usize = 64;
/// Unacknowledged reliable data of one association, in bytes; then its receiver is too slow.
pub const MAX_RELIABLE_BUFFER: usize = 1024 * 1024;
/// Unacknowledged data of one lossy channel, in bytes: more would only arrive stale.
pub const MAX_LOSSY_BUFFER: usize = 64 * 1024;
/// Unacknowledged messages of one association. Each costs some 300 bytes besides its data.
const MAX_HELD_MESSAGES: usize = 4096;
/// A reliable receiver that stays full for so long is reported.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// Largest packet: the largest multiple of 4 that fits into one DTLS record.
const MAX_PACKET_LEN: usize = MAX_DATA_LEN / 4 * 4;
/// Data of one chunk in such a packet: less common header (12) and DATA chunk header (16).
const MAX_CHUNK_DATA_LEN: u32 = MAX_PACKET_LEN as u32 - 28;
/// Received data that cannot be delivered yet, in bytes. 20 Mbit/s at 200 ms.
const RECEIVE_BUFFER: u32 = 512 * 1024;
/// Received fragments that cannot be delivered yet. At one byte each, [`RECEIVE_BUFFER`] alone would
/// let a peer take 100 MB.
const MAX_RECEIVED_CHUNKS: usize = 8192;
/// `sctp-proto` ends the association at a longer message; between this and [`MAX_MESSAGE_LEN`] only
/// the message is dropped. 256 KiB is what Chromium sends to a peer that does not name a limit.
const REASSEMBLY_LIMIT: u32 = 256 * 1024;

// Timers as in Chromium (dcsctp `dcsctp_options.h`), where delayed acknowledgements wait 200 ms too.
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 400;
const RTO_MAX_MS: u64 = 5000;

/// The address is DTLS's business; SCTP wants one all the same.
const NO_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), SCTP_PORT);

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
        /// At most [`MAX_MESSAGE_LEN`] bytes.
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
    /// More than [`MAX_MESSAGE_LEN`] bytes.
    #[error("message is too long")]
    TooBig,
}

/// Why a channel could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The association is lost.
    #[error("SCTP association is lost")]
    Lost,
    /// [`MAX_CHANNELS`] are open, or the id is taken.
    #[error("no free data channel")]
    NoneFree,
    /// Label or protocol are longer than [`MAX_LABEL_LEN`].
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Up,
    Lost,
}

/// One SCTP association with its data channels. Owns no socket and no clock.
#[derive(Debug)]
pub struct SctpAssociation {
    endpoint: Endpoint,
    association: Option<Association>,
    /// Ids of the channels that we open: even for the DTLS client (RFC 8832, section 6).
    first_id: u16,
    state: State,
    channels: BTreeMap<u16, Channel>,
    events: VecDeque<SctpEvent>,
    outbound: VecDeque<Bytes>,
    /// Ids of closed channels whose streams are still being reset.
    closing: BTreeSet<u16>,
    /// The peer's TSN up to which we have everything, as of our last SACK.
    acknowledged: u32,
    /// DATA chunks taken in and not yet delivered; duplicates count until nothing is held.
    received_chunks: usize,
    full_since: Option<Instant>,
    stats: SctpStats,
}

impl SctpAssociation {
    /// `role` is that of the DTLS association below. A client starts at once; a server waits.
    #[must_use]
    pub fn new(role: Role, now: Instant) -> Self {
        let transport = Arc::new(
            TransportConfig::default()
                .with_max_receive_buffer_size(RECEIVE_BUFFER)
                .with_max_send_message_size(MAX_MESSAGE_LEN as u32)
                .with_max_receive_message_size(REASSEMBLY_LIMIT)
                .with_max_num_inbound_streams(packet::MAX_STREAMS)
                .with_max_num_outbound_streams(packet::MAX_STREAMS)
                // Whether the peer is alive is for ICE to say (RFC 7675).
                .with_max_init_retransmits(None)
                .with_max_data_retransmits(None)
                .with_rto_initial_ms(RTO_INITIAL_MS)
                .with_rto_min_ms(RTO_MIN_MS)
                .with_rto_max_ms(RTO_MAX_MS)
                .with_local_port(SCTP_PORT)
                .with_remote_port(SCTP_PORT),
        );
        let mut config = EndpointConfig::new();
        config.max_payload_size(MAX_CHUNK_DATA_LEN);
        // A client has a server's configuration too: without one an INIT makes the endpoint panic.
        let mut server = ServerConfig::new();
        server.transport = Arc::clone(&transport);
        let mut endpoint = Endpoint::new(Arc::new(config), Some(Arc::new(server)));
        let mut association = None;
        if role == Role::Client {
            let mut client = ClientConfig::new();
            client.transport = transport;
            // Fails only without ports or when four thousand million associations exist.
            association = endpoint.connect(client, NO_ADDRESS).ok().map(|(_, made)| made);
            endpoint.reject_new_associations();
        }
        let mut this = Self {
            endpoint,
            association,
            first_id: u16::from(role == Role::Server),
            state: State::Connecting,
            channels: BTreeMap::new(),
            events: VecDeque::new(),
            outbound: VecDeque::new(),
            closing: BTreeSet::new(),
            acknowledged: 0,
            received_chunks: 0,
            full_since: None,
            stats: SctpStats::default(),
        };
        this.collect(now);
        this
    }

    /// Takes in the data of one DTLS record. What does not parse is dropped and counted.
    pub fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        if self.state == State::Lost {
            return;
        }
        let Ok(summary) = packet::inspect(packet, self.acknowledged) else {
            self.stats.rejected_packets += 1;
            return;
        };
        let early = self.state == State::Connecting && !summary.cookie && summary.data_chunks > 0;
        // An INIT on a live association is a late duplicate, or a restart, which the DTLS association
        // would not outlive either.
        let late = self.state == State::Up && summary.init;
        if early || late {
            self.stats.rejected_packets += 1;
            return;
        }
        if let Some(tsn) = summary.initial_tsn.filter(|_| self.state == State::Connecting) {
            self.acknowledged = tsn.wrapping_sub(1);
        }
        self.received_chunks += summary.data_chunks;
        let packet = Bytes::copy_from_slice(packet);
        self.contained(|this| {
            match this.endpoint.handle(now, NO_ADDRESS, None, None, packet) {
                Some((_, DatagramEvent::NewAssociation(association))) => {
                    this.association = Some(association);
                    this.endpoint.reject_new_associations();
                }
                Some((_, DatagramEvent::AssociationEvent(event))) => {
                    if let Some(association) = &mut this.association {
                        association.handle_event(event);
                    }
                }
                None => {}
            }
            this.drain_events(now);
        });
        if self.received_chunks > MAX_RECEIVED_CHUNKS {
            self.lose();
        }
        self.collect(now);
    }

    /// Acts on a passed deadline; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.contained(|this| {
            if let Some(association) = &mut this.association {
                association.handle_timeout(now);
            }
            this.drain_events(now);
        });
        self.collect(now);
    }

    /// When to call [`SctpAssociation::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Lost {
            return None;
        }
        self.association.as_ref()?.poll_timeout()
    }

    /// The next packet, to be sent as the data of one DTLS record.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outbound.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SctpEvent> {
        self.events.pop_front()
    }

    /// Opens a channel with DCEP; may be called before the association is up. Messages can be sent
    /// once it is.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_channel(&mut self, config: ChannelConfig, now: Instant) -> Result<u16, OpenError> {
        if config.label.len() > MAX_LABEL_LEN || config.protocol.len() > MAX_LABEL_LEN {
            return Err(OpenError::BadLabel);
        }
        if self.state == State::Lost {
            return Err(OpenError::Lost);
        }
        let id = (self.first_id..packet::MAX_STREAMS)
            .step_by(2)
            .find(|id| !self.channels.contains_key(id) && !self.closing.contains(id))
            .filter(|_| self.channels.len() < MAX_CHANNELS)
            .ok_or(OpenError::NoneFree)?;
        self.channels.insert(id, Channel::new(config, true));
        if self.state == State::Up {
            self.contained(|this| this.announce(id));
            self.collect(now);
        }
        Ok(id)
    }

    /// Adds a channel that both ends know without DCEP (`negotiated: true` in a browser).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn add_negotiated(&mut self, id: u16, config: ChannelConfig) -> Result<(), OpenError> {
        if self.state == State::Lost {
            return Err(OpenError::Lost);
        }
        if id >= packet::MAX_STREAMS
            || self.channels.len() >= MAX_CHANNELS
            || self.channels.contains_key(&id)
            || self.closing.contains(&id)
        {
            return Err(OpenError::NoneFree);
        }
        self.channels.insert(id, Channel::new(config, false));
        if self.state == State::Up {
            self.contained(|this| this.open_stream(id));
        }
        Ok(())
    }

    /// Closes a channel; its id may be used again once the peer has agreed.
    pub fn close_channel(&mut self, channel: u16, now: Instant) {
        if self.channels.remove(&channel).is_some() {
            self.closing.insert(channel);
            self.contained(|this| this.reset(channel));
            self.collect(now);
        }
    }

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

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// What is known about an open channel.
    #[must_use]
    pub fn channel(&self, channel: u16) -> Option<&ChannelConfig> {
        self.channels.get(&channel).map(|found| &found.config)
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> SctpStats {
        self.stats
    }

    /// Runs a step of the state machine; should it panic, the association is lost and the caller not.
    fn contained<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> Option<T> {
        // What a panic leaves behind is dropped with the state machine, and never looked at.
        let outcome = catch_unwind(AssertUnwindSafe(|| step(self)));
        if outcome.is_err() {
            self.lose();
        }
        outcome.ok()
    }

    /// Moves outgoing packets into our own queue.
    fn collect(&mut self, now: Instant) {
        self.contained(|this| {
            let Some(association) = &mut this.association else { return };
            while let Some(transmit) = association.poll_transmit(now) {
                if let sctp_proto::Payload::RawEncode(packets) = transmit.payload {
                    for packet in packets {
                        if let Some((tsn, window)) = packet::acknowledgement(&packet) {
                            this.acknowledged = tsn;
                            if window == RECEIVE_BUFFER {
                                this.received_chunks = 0;
                            }
                        }
                        packet::fit(packet, MAX_PACKET_LEN, |piece| this.outbound.push_back(piece));
                    }
                }
            }
        });
    }

    fn drain_events(&mut self, now: Instant) {
        loop {
            let Some(event) = self.association.as_mut().and_then(Association::poll) else { return };
            match event {
                Event::Connected => self.on_connected(),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => {
                    self.collect(now);
                    return self.lose();
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(StreamEvent::Finished { id }) => self.on_closed(id),
                Event::Stream(StreamEvent::ResetComplete { id }) => {
                    self.closing.remove(&id);
                }
                // Opened, Available, resets and counters: channels are ours to keep.
                _ => {}
            }
        }
    }

    fn on_connected(&mut self) {
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Up;
        self.events.push_back(SctpEvent::Up);
        let waiting: Vec<(u16, bool)> =
            self.channels.iter().map(|(id, channel)| (*id, channel.waits_for_ack)).collect();
        for (id, with_dcep) in waiting {
            if with_dcep {
                self.announce(id);
            } else {
                self.open_stream(id);
            }
        }
    }

    /// Makes the stream of a channel of ours and sends the OPEN.
    fn announce(&mut self, id: u16) {
        self.open_stream(id);
        let open = self.channels.get(&id).map(|channel| Dcep::Open(channel.config.clone()));
        if let Some(Ok(open)) = open.map(|open| open.build()) {
            self.write(id, PayloadProtocolIdentifier::Dcep, open.into());
        }
    }

    fn open_stream(&mut self, id: u16) {
        if let Some(association) = &mut self.association {
            // The peer may have made it first, by sending on it.
            let _ = association.open_stream(id, PayloadProtocolIdentifier::Binary);
        }
        self.apply_params(id);
    }

    fn apply_params(&mut self, id: u16) {
        let (Some(association), Some(channel)) = (&mut self.association, self.channels.get(&id))
        else {
            return;
        };
        let (unordered, kind, value) = channel.sctp_params();
        if let Ok(mut stream) = association.stream(id) {
            let _ = stream.set_reliability_params(unordered, kind, value);
        }
    }

    /// False when the stream is closed, or closing.
    fn write(&mut self, id: u16, protocol: PayloadProtocolIdentifier, data: Bytes) -> bool {
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

    fn reset(&mut self, id: u16) {
        if let Some(Ok(mut stream)) =
            self.association.as_mut().map(|association| association.stream(id))
        {
            let _ = stream.close();
        }
    }

    fn read(&mut self, id: u16) {
        loop {
            let Some(association) = &mut self.association else { return };
            let Ok(mut stream) = association.stream(id) else { return };
            let Ok(Some(chunks)) = stream.read() else { return };
            self.received_chunks = self.received_chunks.saturating_sub(chunks.chunks.len());
            let mut data = vec![0; chunks.len()];
            if chunks.read(&mut data).is_ok() {
                self.on_message(id, chunks.ppi, data.into());
            }
        }
    }

    fn on_message(&mut self, id: u16, protocol: PayloadProtocolIdentifier, data: Bytes) {
        use PayloadProtocolIdentifier as Ppid;
        let (binary, data) = match protocol {
            Ppid::Dcep => return self.on_dcep(id, &data),
            Ppid::String => (false, data),
            Ppid::Binary => (true, data),
            Ppid::StringEmpty => (false, Bytes::new()),
            Ppid::BinaryEmpty => (true, Bytes::new()),
            Ppid::Unknown => {
                self.stats.rejected_messages += 1;
                return;
            }
        };
        if data.len() > MAX_MESSAGE_LEN || !self.channels.contains_key(&id) {
            self.stats.rejected_messages += 1;
            return;
        }
        // Data says that the peer knows the channel, as an ACK does (RFC 8832, section 6).
        self.acknowledged(id);
        self.events.push_back(SctpEvent::Message { channel: id, binary, data });
    }

    fn on_dcep(&mut self, id: u16, data: &[u8]) {
        match Dcep::parse(data) {
            Ok(Dcep::Ack) => self.acknowledged(id),
            // Not repeated by any peer, since it travels reliably; a second one changes nothing.
            Ok(Dcep::Open(_)) if self.channels.contains_key(&id) => {
                self.stats.rejected_channels += 1;
            }
            Ok(Dcep::Open(config)) if self.channels.len() < MAX_CHANNELS => {
                self.closing.remove(&id);
                self.channels.insert(id, Channel::new(config.clone(), false));
                self.apply_params(id);
                self.write(id, PayloadProtocolIdentifier::Dcep, Bytes::from_static(&[2]));
                self.events.push_back(SctpEvent::ChannelOpened { channel: id, config });
            }
            Ok(Dcep::Open(_)) | Err(_) => {
                self.stats.rejected_channels += 1;
                if !self.channels.contains_key(&id) {
                    self.reset(id);
                }
            }
        }
    }

    fn acknowledged(&mut self, id: u16) {
        if let Some(channel) = self.channels.get_mut(&id).filter(|channel| channel.waits_for_ack) {
            channel.waits_for_ack = false;
            self.apply_params(id);
        }
    }

    fn on_closed(&mut self, id: u16) {
        self.closing.insert(id);
        if self.channels.remove(&id).is_some() {
            self.events.push_back(SctpEvent::ChannelClosed { channel: id });
        }
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

    fn lose(&mut self) {
        if self.state != State::Lost {
            self.state = State::Lost;
            self.association = None;
            self.channels.clear();
            self.events.push_back(SctpEvent::Lost);
        }
    }
}
