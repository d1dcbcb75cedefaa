//! Which transport a datagram belongs to.
//!
//! Media and DTLS go by address, and only addresses that passed an authenticated check are in the
//! table. Checks go by the ufrag they name, always: an address may come back with another session.
//! Keys of both tables are chosen by strangers in part, so they stay on the standard hasher.

use std::collections::HashMap;

use crate::ids::WorkerId;
use crate::net::Tuple;

/// Addresses of other workers' transports that are remembered: 8 for each of 8000 transports.
const MAX_FOREIGN: usize = 65_536;

/// Keys of the engine's transport table by address and by ufrag.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_addr: HashMap<Tuple, usize>,
    by_ufrag: HashMap<String, usize>,
    /// Client transports, one to a socket: their peers' answers carry no ufrag.
    by_socket: HashMap<u16, usize>,
    /// Owners of what the kernel gives to the wrong one of several sockets on one port.
    foreign: HashMap<Tuple, WorkerId>,
}

impl Routes {
    #[inline]
    pub(crate) fn by_addr(&self, tuple: &Tuple) -> Option<usize> {
        self.by_addr.get(tuple).copied()
    }

    /// Addresses in the table.
    pub(crate) fn len(&self) -> usize {
        self.by_addr.len()
    }

    pub(crate) fn by_ufrag(&self, ufrag: &str) -> Option<usize> {
        self.by_ufrag.get(ufrag).copied()
    }

    /// False if another transport has that ufrag.
    pub(crate) fn add_ufrag(&mut self, ufrag: &str, transport: usize) -> bool {
        *self.by_ufrag.entry(ufrag.to_owned()).or_insert(transport) == transport
    }

    pub(crate) fn remove_ufrag(&mut self, ufrag: &str, transport: usize) {
        if self.by_ufrag(ufrag) == Some(transport) {
            self.by_ufrag.remove(ufrag);
        }
    }

    /// The client transport that sends by this socket.
    pub(crate) fn by_socket(&self, socket: u16) -> Option<usize> {
        self.by_socket.get(&socket).copied()
    }

    /// False if another client transport sends by that socket.
    pub(crate) fn add_socket(&mut self, socket: u16, transport: usize) -> bool {
        *self.by_socket.entry(socket).or_insert(transport) == transport
    }

    pub(crate) fn remove_socket(&mut self, socket: u16, transport: usize) {
        if self.by_socket(socket) == Some(transport) {
            self.by_socket.remove(&socket);
        }
    }

    /// A check proved this address; it may have been an older transport's before.
    pub(crate) fn add_addr(&mut self, tuple: Tuple, transport: usize) {
        self.by_addr.insert(tuple, transport);
        self.foreign.remove(&tuple);
    }

    /// Takes the address out, unless it is a newer transport's by now.
    pub(crate) fn remove_addr(&mut self, tuple: Tuple, transport: usize) -> bool {
        let own = self.by_addr(&tuple) == Some(transport);
        if own {
            self.by_addr.remove(&tuple);
        }
        own
    }

    /// Another worker proved, or forgot, an address on the shared port.
    pub(crate) fn set_foreign(&mut self, tuple: Tuple, owner: WorkerId, present: bool) {
        if !present {
            if self.foreign.get(&tuple) == Some(&owner) {
                self.foreign.remove(&tuple);
            }
        } else if self.foreign.len() < MAX_FOREIGN || self.foreign.contains_key(&tuple) {
            self.foreign.insert(tuple, owner);
        }
    }

    /// Who owns what came from this address, if another worker does.
    #[inline]
    pub(crate) fn foreign(&self, tuple: &Tuple) -> Option<WorkerId> {
        if self.foreign.is_empty() || self.by_addr.contains_key(tuple) {
            return None;
        }
        self.foreign.get(tuple).copied()
    }
}

/// The worker in a ufrag: its first two characters in lower-case hexadecimal.
pub(crate) fn worker_of(ufrag: &str) -> Option<WorkerId> {
    let digits = ufrag.get(..2)?;
    if digits.bytes().any(|digit| digit.is_ascii_uppercase() || digit == b'+') {
        return None;
    }
    u8::from_str_radix(digits, 16).ok().map(WorkerId)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::Protocol;

    fn tuple(local: u16) -> Tuple {
        Tuple { protocol: Protocol::Udp, local, remote: SocketAddr::from(([10, 0, 0, 1], 5)) }
    }

    #[test]
    fn removing_an_old_transport_keeps_an_address_that_a_new_one_took() {
        let mut routes = Routes::default();
        routes.add_addr(tuple(0), 1);
        routes.add_addr(tuple(0), 2);
        assert!(!routes.remove_addr(tuple(0), 1));
        assert_eq!(routes.by_addr(&tuple(0)), Some(2));
        assert!(routes.remove_addr(tuple(0), 2));
    }

    #[test]
    fn one_remote_port_at_two_local_addresses_is_two_paths() {
        let mut routes = Routes::default();
        routes.add_addr(tuple(0), 1);
        routes.add_addr(tuple(1), 2);
        assert_eq!(routes.by_addr(&tuple(0)), Some(1));
        assert_eq!(routes.by_addr(&tuple(1)), Some(2));
    }

    #[test]
    fn a_ufrag_has_one_owner() {
        let mut routes = Routes::default();
        assert!(routes.add_ufrag("00abc", 1));
        assert!(!routes.add_ufrag("00abc", 2));
        routes.remove_ufrag("00abc", 2);
        assert_eq!(routes.by_ufrag("00abc"), Some(1));
    }

    #[test]
    fn own_addresses_come_before_foreign_ones() {
        let mut routes = Routes::default();
        routes.set_foreign(tuple(0), WorkerId(1), true);
        assert_eq!(routes.foreign(&tuple(0)), Some(WorkerId(1)));
        routes.add_addr(tuple(0), 7);
        assert_eq!(routes.foreign(&tuple(0)), None);
        routes.set_foreign(tuple(1), WorkerId(1), true);
        routes.set_foreign(tuple(1), WorkerId(2), false);
        assert_eq!(routes.foreign(&tuple(1)), Some(WorkerId(1)));
    }

    #[test]
    fn worker_prefix() {
        assert_eq!(worker_of("0arandom"), Some(WorkerId(10)));
        assert_eq!(worker_of("ff"), Some(WorkerId(255)));
        for other in ["0Arandom", "+1x", "f", "", "zz", "é1"] {
            assert_eq!(worker_of(other), None, "{other}");
        }
    }
}
