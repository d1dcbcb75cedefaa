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
mod events;
mod inward;
mod outward;
mod packet;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use airside_dtls::{MAX_DATA_LEN, Role};
use bytes::Bytes;
use sctp_proto::{
    Association, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, ServerConfig,
    TransportConfig,
};

pub use dcep::{ChannelConfig, MAX_LABEL_LEN, Reliability};
pub use events::{OpenError, SctpEvent, SctpStats, SendError};

use channel::Channel;

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

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
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

    fn lose(&mut self) {
        if self.state != State::Lost {
            self.state = State::Lost;
            self.association = None;
            self.channels.clear();
            self.events.push_back(SctpEvent::Lost);
        }
    }
}
