//! One ICE + DTLS + SRTP + SCTP association with a peer: its parts, and what they add up to.
//!
//! `connect.rs` brings it up, `ingress.rs` and `egress.rs` use it, `close.rs` ends it.

mod agent;
mod secure;

pub(crate) use agent::Agent;
pub(crate) use secure::{Secure, SecureEvent};

use std::time::{Duration, Instant};

use crate::command::{AddTransport, Role, SetRemote};
use crate::event::TransportState;
use crate::ids::{RoomId, TransportId};
use crate::net::Tuple;
use crate::rtp::ExtensionMap;
use crate::timers::{Wake, earliest};

/// From the first valid check to a finished handshake. JVB waits as long.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// State of one association.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) id: TransportId,
    pub(crate) room: RoomId,
    pub(crate) role: Role,
    pub(crate) agent: Agent,
    pub(crate) secure: Secure,
    /// Where to send; follows the agent's selection.
    pub(crate) tuple: Option<Tuple>,
    /// When the handshake must be done; set by the first valid check.
    pub(crate) handshake_deadline: Option<Instant>,
    pub(crate) extensions: ExtensionMap,
    pub(crate) transport_cc: bool,
    pub(crate) remb: bool,
    pub(crate) wake: Wake,
    /// What was told last.
    pub(crate) told: Option<TransportState>,
}

impl Transport {
    pub(crate) fn new(spec: &AddTransport, seed: u64, now: Instant) -> Self {
        Self {
            id: spec.transport,
            room: spec.room,
            role: spec.role,
            agent: Agent::new(spec, seed, now),
            secure: Secure::new(spec.role),
            tuple: None,
            handshake_deadline: None,
            extensions: ExtensionMap::new(),
            transport_cc: false,
            remb: false,
            wake: Wake::default(),
            told: None,
        }
    }

    /// What negotiation agreed on, the newest description as a whole.
    pub(crate) fn set_remote(&mut self, remote: &SetRemote) {
        let mut extensions = ExtensionMap::new().with_two_byte(remote.allow_mixed);
        for (id, kind) in &remote.extensions {
            extensions.insert(*id, *kind);
        }
        self.extensions = extensions;
        self.transport_cc = remote.transport_cc;
        self.remb = remote.remb;
    }

    /// When any part wants to be woken.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let connecting = earliest(self.secure.poll_timeout(), self.handshake_deadline);
        earliest(self.agent.poll_timeout(), connecting)
    }
}
