//! The ICE agent of either role, or what stands for it, behind one face.

use std::time::Instant;

use crate::command::{AddTransport, IceCredentials, Role};
use crate::ice::{Client, Responder};
use crate::net::Tuple;
use crate::transport::Local;

/// Lite responder, full client, or no ICE at all.
#[derive(Debug)]
pub(crate) enum Agent {
    Responder(Responder),
    Client(Box<Client>),
    Local(Local),
}

impl Agent {
    pub(crate) fn new(spec: &AddTransport, seed: u64, now: Instant) -> Self {
        if let Some(path) = spec.local_path {
            return Self::Local(Local::new(path, spec.role, now));
        }
        let local = spec.local.clone();
        match spec.role {
            Role::Server => Self::Responder(Responder::new(local, now)),
            Role::Client => Self::Client(Box::new(Client::new(local, spec.socket, seed, now))),
        }
    }

    /// What stands for ICE towards a process beside ours.
    pub(crate) fn local(&self) -> Option<&Local> {
        match self {
            Self::Local(local) => Some(local),
            Self::Responder(_) | Self::Client(_) => None,
        }
    }

    /// The socket that only this transport sends by (client role).
    pub(crate) fn own_socket(&self) -> Option<u16> {
        match self {
            Self::Responder(_) | Self::Local(_) => None,
            Self::Client(agent) => Some(agent.socket()),
        }
    }

    pub(crate) fn ufrags(&self) -> Vec<String> {
        match self {
            Self::Responder(agent) => agent.ufrags().map(str::to_owned).collect(),
            Self::Client(agent) => vec![agent.ufrag().to_owned()],
            Self::Local(_) => Vec::new(),
        }
    }

    /// All paths that passed a check, or need none.
    pub(crate) fn tuples(&self) -> Vec<Tuple> {
        match self {
            Self::Responder(agent) => agent.paths().iter().collect(),
            Self::Client(agent) => agent.paths().iter().collect(),
            Self::Local(local) => vec![local.tuple()],
        }
    }

    /// Returns a ufrag that is no longer valid.
    pub(crate) fn restart(&mut self, local: IceCredentials) -> Option<String> {
        match self {
            Self::Responder(agent) => agent.restart(local),
            Self::Client(agent) => agent.restart(local),
            Self::Local(_) => None,
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
            Self::Local(_) => None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Responder(agent) => agent.poll_timeout(),
            Self::Client(agent) => agent.poll_timeout(),
            Self::Local(local) => local.poll_timeout(),
        }
    }
}
