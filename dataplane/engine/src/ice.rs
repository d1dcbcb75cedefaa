//! ICE agents: the lite responder of a server, the full controlling agent of a client
//! (RFC 8445, consent by RFC 7675).
//!
//! Neither owns a socket: checks and answers are appended to a buffer of the caller, and what
//! happened is told by [`IceChange`].

mod client;
mod responder;
#[cfg(test)]
mod tests;
mod tuples;

pub(crate) use client::Client;
pub(crate) use responder::Responder;

use std::time::Duration;

use crate::net::Tuple;

/// Silence after which a path counts as lost: RFC 7675 has the peer check every 5 s at most, and
/// libwebrtc pings every 2.5 s.
pub(crate) const DISCONNECTED_AFTER: Duration = Duration::from_secs(10);
/// Silence after which consent is gone and sending must stop. RFC 7675, section 5.1.
pub(crate) const EXPIRED_AFTER: Duration = Duration::from_secs(30);

/// States of one agent (forwarding of media needs at least `Connected`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IceState {
    /// No valid check yet.
    New,
    /// A path works.
    Connected,
    /// The controlling side nominated a path.
    Completed,
    /// No consent for 10 s.
    Disconnected,
    /// No consent for 30 s: the transport is to be closed.
    Expired,
}

/// What one step changed; the caller updates its address tables by it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IceChange {
    /// A check on this path was valid: packets from it belong to this transport now.
    pub(crate) validated: Option<Tuple>,
    /// This path was forgotten to make room.
    pub(crate) evicted: Option<Tuple>,
    /// Another path is sent on from now on.
    pub(crate) selected: Option<Tuple>,
    /// The state changed to this.
    pub(crate) state: Option<IceState>,
    /// Credentials with this ufrag are no longer valid (end of a restart).
    pub(crate) retired: Option<String>,
}
