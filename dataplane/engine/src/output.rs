//! Everything that leaves the engine, until the shell takes it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::DropReason;
use crate::events::EventQueue;
use crate::ids::{TapId, TransportId, WorkerId};
use crate::net::{TransmitArena, Tuple};
use crate::packet::SourcePacket;
use crate::ring::RingMessage;
use crate::stats::Drops;

/// Messages to other workers kept for a shell that does not drain.
const MAX_RING: usize = 8192;
/// Data messages for transports in client role, likewise.
const MAX_MESSAGES: usize = 4096;
/// Packets to taps, likewise: two seconds of a few video tracks.
const MAX_TAP: usize = 4096;

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) arena: TransmitArena,
    pub(crate) events: EventQueue,
    pub(crate) drops: Drops,
    rings: VecDeque<(WorkerId, RingMessage)>,
    taps: VecDeque<(TapId, Arc<SourcePacket>)>,
    messages: VecDeque<ClientMessage>,
}

/// A data message that a transport in client role received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessage {
    /// Which transport.
    pub transport: TransportId,
    /// Over the channel that loses nothing.
    pub reliable: bool,
    /// Its envelope.
    pub bytes: Bytes,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            arena: TransmitArena::new(),
            events: EventQueue::default(),
            drops: Drops::default(),
            rings: VecDeque::new(),
            taps: VecDeque::new(),
            messages: VecDeque::new(),
        }
    }

    /// To another worker; dropped and counted when the shell has let too many wait.
    pub(crate) fn ring(&mut self, to: WorkerId, message: RingMessage) {
        if self.rings.len() < MAX_RING {
            self.rings.push_back((to, message));
        } else {
            self.drops.count(DropReason::RingFull);
        }
    }

    /// To a reader in this process, likewise.
    pub(crate) fn tap(&mut self, tap: TapId, packet: Arc<SourcePacket>) {
        if self.taps.len() < MAX_TAP {
            self.taps.push_back((tap, packet));
        } else {
            self.drops.count(DropReason::RingFull);
        }
    }

    /// To the owner of a client transport, likewise.
    pub(crate) fn message(&mut self, message: ClientMessage) {
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push_back(message);
        } else {
            self.drops.count(DropReason::DataQueueFull);
        }
    }

    pub(crate) fn pop_message(&mut self) -> Option<ClientMessage> {
        self.messages.pop_front()
    }

    pub(crate) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    pub(crate) fn pop_ring(&mut self) -> Option<(WorkerId, RingMessage)> {
        self.rings.pop_front()
    }

    pub(crate) fn pop_tap(&mut self) -> Option<(TapId, Arc<SourcePacket>)> {
        self.taps.pop_front()
    }

    /// One datagram that is complete already, if there is a path for it.
    pub(crate) fn send(&mut self, tuple: Option<Tuple>, data: &[u8]) {
        match tuple {
            Some(tuple) => self.arena.push(tuple, data),
            None => self.drops.count(DropReason::NoRoute),
        }
    }
}
