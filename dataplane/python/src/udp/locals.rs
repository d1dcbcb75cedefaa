//! Numbers for our ends of a path: each socket, and each of our addresses behind a wildcard socket.
//!
//! An answer has to leave from the address that was asked, or the peer's ICE agent and its firewall
//! do not know it. A socket bound to one address does that by itself; behind a wildcard the address
//! a datagram came to gets a number of its own, and a send by that number names it to the kernel.
//! Workers that share a port share these numbers: they hand each other datagrams.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers below are sockets, by index; from here on learned addresses.
const FIRST_LEARNED: u16 = 0xff00;
/// Addresses of a machine with many bridges; what comes beyond is answered as the kernel chooses.
const MAX_LEARNED: usize = 0x100;
/// Sockets that one worker can hold.
pub(crate) const MAX_SOCKETS: usize = FIRST_LEARNED as usize;

/// One of our addresses behind a wildcard socket.
type Learned = (u16, IpAddr);

/// Learned addresses of all workers; only ever grows.
pub(crate) type SharedLocals = Arc<Mutex<Vec<Learned>>>;

/// One worker's view of the numbers.
#[derive(Debug, Default)]
pub(crate) struct Locals {
    shared: SharedLocals,
    /// Copy of the shared list, so that the packet path takes no lock.
    learned: Vec<Learned>,
}

impl Locals {
    pub(crate) fn new(shared: SharedLocals) -> Self {
        Self { shared, learned: Vec::new() }
    }

    /// The number for a datagram that came in by this socket to this of our addresses.
    pub(crate) fn number(&mut self, socket: u16, destination: Option<IpAddr>) -> u16 {
        let Some(source) = destination else { return socket };
        match self.find((socket, source)).or_else(|| self.learn((socket, source))) {
            Some(index) => FIRST_LEARNED + index,
            None => socket,
        }
    }

    /// Which socket sends for this number, and which source it names.
    pub(super) fn resolve(&mut self, number: u16) -> (u16, Option<IpAddr>) {
        let Some(index) = number.checked_sub(FIRST_LEARNED).map(usize::from) else {
            return (number, None);
        };
        if index >= self.learned.len() {
            self.refresh();
        }
        match self.learned.get(index) {
            Some((socket, source)) => (*socket, Some(*source)),
            None => (0, None),
        }
    }

    fn find(&self, wanted: Learned) -> Option<u16> {
        let index = self.learned.iter().position(|learned| *learned == wanted)?;
        u16::try_from(index).ok()
    }

    /// Once per address of this machine; the lock is held for a moment only, by workers alone.
    fn learn(&mut self, new: Learned) -> Option<u16> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.contains(&new) && shared.len() < MAX_LEARNED {
            shared.push(new);
        }
        drop(shared);
        self.refresh();
        self.find(new)
    }

    fn refresh(&mut self) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        self.learned.clone_from(&shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn each_learned_address_has_one_number_on_all_workers() {
        let shared = SharedLocals::default();
        let (mut one, mut two) = (Locals::new(Arc::clone(&shared)), Locals::new(shared));
        assert_eq!(one.number(1, None), 1);
        let learned = one.number(1, Some(ip(7)));
        assert_eq!(two.resolve(learned), (1, Some(ip(7))));
        let other = two.number(0, Some(ip(7)));
        assert_ne!(other, learned);
        assert_eq!(one.number(0, Some(ip(7))), other);
        assert_eq!(one.resolve(3), (3, None));
    }

    #[test]
    fn a_full_table_falls_back_to_the_socket() {
        let mut locals = Locals::default();
        for last in 0..=255 {
            assert!(locals.number(0, Some(ip(last))) >= FIRST_LEARNED);
        }
        assert_eq!(locals.number(5, Some(IpAddr::from([198, 51, 100, 1]))), 5);
        assert_eq!(locals.learned.len(), MAX_LEARNED);
    }
}
