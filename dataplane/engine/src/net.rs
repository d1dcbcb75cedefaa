//! Where datagrams come from and go to: tuples, the receive batch, the transmit arena.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::Range;

use crate::command::LocalPath;

/// Largest datagram that we send: what an Ethernet frame leaves after IPv4 and UDP headers. Browsers
/// make packets of 1200 bytes, GStreamer of 1400.
pub const MAX_DATAGRAM_LEN: usize = 1472;
/// Datagrams of one turn before the arena grows.
const ARENA_DATAGRAMS: usize = 256;
const ARENA_LEN: usize = ARENA_DATAGRAMS * MAX_DATAGRAM_LEN;
/// A larger arena is given back to the system once so many turns in a row have left most of it unused:
/// one burst to a crowd would keep its megabytes for good otherwise.
const CALM_TURNS: u32 = 4096;
/// Most is unused below this part.
const CALM_PART: usize = 4;

/// How bytes of a tuple travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One datagram per packet.
    Udp,
    /// One record per packet, of a ring in memory shared with a process beside ours.
    Local,
}

/// One path: protocol, our socket, their address. Equal only if all three are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// How bytes travel.
    pub protocol: Protocol,
    /// Index of our socket, or of the ring, as the I/O shell numbers them.
    pub local: u16,
    /// The far end; behind a ring the number of its transport, in the form of an address.
    pub remote: SocketAddr,
}

impl Tuple {
    /// That of a transport on a local ring.
    #[must_use]
    pub fn local(path: LocalPath) -> Self {
        let remote = SocketAddr::from((Ipv6Addr::from_bits(path.route.into()), 0));
        Self { protocol: Protocol::Local, local: path.ring, remote }
    }

    /// The number of the transport on its ring; `None` behind a socket.
    #[must_use]
    pub fn route(&self) -> Option<u64> {
        match (self.protocol, self.remote) {
            (Protocol::Local, SocketAddr::V6(remote)) => Some(remote.ip().to_bits() as u64),
            _ => None,
        }
    }

    /// Where the far end is on the network; `None` for a process beside ours.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        (self.protocol == Protocol::Udp).then_some(self.remote)
    }
}

/// One received datagram, decrypted in place. Its arrival time is the `now` of its batch.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Index of the socket it came in by.
    pub local: u16,
    /// Who sent it.
    pub remote: SocketAddr,
    /// How it came.
    pub protocol: Protocol,
    /// Its bytes; scratch space after the call.
    pub data: &'a mut [u8],
}

impl Datagram<'_> {
    /// The path it came by.
    #[must_use]
    pub fn tuple(&self) -> Tuple {
        Tuple { protocol: self.protocol, local: self.local, remote: self.remote }
    }
}

/// One datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The path to send by.
    pub tuple: Tuple,
    /// Its bytes in the arena.
    pub range: Range<usize>,
}

/// Datagrams to send, in one run of bytes. Neighbours of one tuple and length may go out as one
/// segmented send (UDP GSO), since their bytes are adjacent.
#[derive(Debug)]
pub struct TransmitArena {
    /// Memory; what is behind `used` is scratch.
    bytes: Vec<u8>,
    used: usize,
    entries: Vec<Transmit>,
    /// Turns since it was last used well.
    calm: u32,
}

impl Default for TransmitArena {
    fn default() -> Self {
        Self::new()
    }
}

impl TransmitArena {
    /// An empty one, with room for a turn.
    #[must_use]
    pub fn new() -> Self {
        let entries = Vec::with_capacity(ARENA_DATAGRAMS);
        Self { bytes: vec![0; ARENA_LEN], used: 0, entries, calm: 0 }
    }

    /// What is to be sent, in order.
    #[must_use]
    pub fn entries(&self) -> &[Transmit] {
        &self.entries
    }

    /// All bytes; entries index into them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// The bytes of one entry.
    #[must_use]
    pub fn data(&self, entry: &Transmit) -> &[u8] {
        &self.bytes[entry.range.clone()]
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything; keeps the memory that turns like this one need. To be called once it is
    /// sent.
    pub fn clear(&mut self) {
        let calm = self.bytes.len() > ARENA_LEN && self.used < self.bytes.len() / CALM_PART;
        self.calm = if calm { self.calm + 1 } else { 0 };
        self.used = 0;
        self.entries.clear();
        if self.calm > CALM_TURNS {
            *self = Self::new();
        }
    }

    /// Copies a finished datagram.
    pub fn push(&mut self, tuple: Tuple, data: &[u8]) {
        self.reserve(data.len());
        self.bytes[self.used..self.used + data.len()].copy_from_slice(data);
        self.commit(tuple, data.len());
    }

    /// The datagram committed last.
    pub(crate) fn last(&self) -> &[u8] {
        self.entries.last().map_or(&[], |entry| self.data(entry))
    }

    /// Where the next datagram may be written; nothing is sent before [`Self::commit`].
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.reserve(MAX_DATAGRAM_LEN);
        &mut self.bytes[self.used..self.used + MAX_DATAGRAM_LEN]
    }

    /// The first `len` bytes of [`Self::space`] are a datagram.
    #[inline]
    pub(crate) fn commit(&mut self, tuple: Tuple, len: usize) {
        let end = (self.used + len).min(self.bytes.len());
        self.entries.push(Transmit { tuple, range: self.used..end });
        self.used = end;
    }

    #[inline]
    fn reserve(&mut self, len: usize) {
        if self.bytes.len() < self.used + len {
            self.bytes.resize(self.used + len + ARENA_LEN, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_committed_is_sent_and_it_lies_in_one_run() {
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let tuple = Tuple { protocol: Protocol::Udp, local: 0, remote };
        let mut arena = TransmitArena::new();
        arena.push(tuple, b"one");
        arena.space()[..4].copy_from_slice(b"half");
        arena.space()[..3].copy_from_slice(b"two");
        arena.commit(tuple, 3);
        let sent: Vec<&[u8]> = arena.entries().iter().map(|entry| arena.data(entry)).collect();
        assert_eq!(sent, [b"one", b"two"]);
        assert_eq!(arena.bytes(), b"onetwo");
        arena.clear();
        assert!(arena.is_empty() && arena.bytes().is_empty());
    }

    #[test]
    fn a_local_path_survives_the_form_of_an_address() {
        for (ring, route) in [(0, 0), (7, 1), (u16::MAX, u64::MAX)] {
            let tuple = Tuple::local(LocalPath { ring, route });
            assert_eq!((tuple.local, tuple.route(), tuple.address()), (ring, Some(route), None));
        }
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let udp = Tuple { protocol: Protocol::Udp, local: 0, remote };
        assert_eq!((udp.route(), udp.address()), (None, Some(remote)));
    }

    #[test]
    fn what_a_burst_took_is_given_back_after_a_while() {
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let tuple = Tuple { protocol: Protocol::Udp, local: 0, remote };
        let mut arena = TransmitArena::new();
        let mut turn = |datagrams: usize| {
            (0..datagrams).for_each(|_| arena.push(tuple, &[7; 1200]));
            arena.clear();
            arena.bytes.len()
        };
        let large = turn(40 * ARENA_DATAGRAMS);
        assert!(large > 30 * ARENA_LEN);
        for at in 0..2 * CALM_TURNS {
            // A burst each second or so keeps it.
            assert_eq!(turn(if at % 1000 == 0 { 20 * ARENA_DATAGRAMS } else { 10 }), large);
        }
        for _ in 0..=CALM_TURNS {
            turn(10);
        }
        assert_eq!(turn(10), ARENA_LEN);
    }

    #[test]
    fn it_grows_past_its_first_size() {
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let tuple = Tuple { protocol: Protocol::Udp, local: 0, remote };
        let mut arena = TransmitArena::new();
        for at in 0..2 * ARENA_DATAGRAMS {
            arena.space().fill(at as u8);
            arena.commit(tuple, MAX_DATAGRAM_LEN);
        }
        let last = arena.entries().last().unwrap();
        assert_eq!(arena.data(last)[0], (2 * ARENA_DATAGRAMS - 1) as u8);
    }
}
