//! The ICE agent of either role behind one face.

use std::time::Instant;

use crate::command::{AddTransport, IceCredentials, Role};
use crate::ice::{Client, Responder};
use crate::net::Tuple;

/// Lite responder or full client.
#[derive(Debug)]
pub(crate) enum Agent {
    Responder(Responder),
    Client(Box<Client>),
}

impl Agent {
    pub(crate) fn new(spec: &AddTransport, seed: u64, now: Instant) -> Self {
        let local = spec.local.clone();
        match spec.role {
            Role::Server => Self::Responder(Responder::new(local, now)),
            Role::Client => Self::Client(Box::new(Client::new(local, spec.socket, seed, now))),
        }
    }

    /// The socket that only this transport sends by (client role).
    pub(crate) fn own_socket(&self) -> Option<u16> {
        match self {
            Self::Responder(_) => None,
            Self::Client(agent) => Some(agent.socket()),
        }
    }

    pub(crate) fn ufrags(&self) -> Vec<String> {
        match self {
            Self::Responder(agent) => agent.ufrags().map(str::to_owned).collect(),
            Self::Client(agent) => vec![agent.ufrag().to_owned()],
        }
    }

    /// All paths that passed a check.
    pub(crate) fn tuples(&self) -> Vec<Tuple> {
        match self {
            Self::Responder(agent) => agent.paths().iter().collect(),
            Self::Client(agent) => agent.paths().iter().collect(),
        }
    }

    /// Returns a ufrag that is no longer valid.
    pub(crate) fn restart(&mut self, local: IceCredentials) -> Option<String> {
        match self {
            Self::Responder(agent) => agent.restart(local),
            Self::Client(agent) => agent.restart(local),
        }
    }

    /// An authenticated packet of media or DTLS came by this path; returns the path to send by if
    /// that changed.
    pub(crate) fn on_media(&mut self, tuple: Tuple, now: Instant) -> Option<Tuple> {
        match self {
            Self::Responder(agent) => agent.on_media(tuple, now),
            Self::Client(agent) => {
                agent.on_media(tuple, now);
                None
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Responder(agent) => agent.poll_timeout(),
            Self::Client(agent) => agent.poll_timeout(),
        }
    }
}
