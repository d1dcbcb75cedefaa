//! Where datagrams come from and go to: tuples, the receive batch, the transmit arena.

use std::net::SocketAddr;
use std::ops::Range;

/// Room for the datagrams of one turn before the arena grows: 256 of the largest size.
const ARENA_CAPACITY: usize = 256 * MAX_DATAGRAM_LEN;
/// Largest datagram that we send. 1200 bytes of publisher's packet, our header extensions, the
/// SRTP tag; fits the 1280 bytes that IPv6 promises with its own headers on every usual path.
pub const MAX_DATAGRAM_LEN: usize = 1280;

/// How bytes of a tuple travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One datagram per packet.
    Udp,
}

/// One path: protocol, our socket, their address. Equal only if all three are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// How bytes travel.
    pub protocol: Protocol,
    /// Index of our socket, as the I/O shell numbers them.
    pub local: u16,
    /// The far end.
    pub remote: SocketAddr,
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
    bytes: Vec<u8>,
    entries: Vec<Transmit>,
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
        Self { bytes: Vec::with_capacity(ARENA_CAPACITY), entries: Vec::with_capacity(256) }
    }

    /// What is to be sent, in order.
    #[must_use]
    pub fn entries(&self) -> &[Transmit] {
        &self.entries
    }

    /// All bytes; entries index into them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
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

    /// Forgets everything; keeps the memory. To be called once it is sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Copies a finished datagram.
    pub fn push(&mut self, tuple: Tuple, data: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.entries.push(Transmit { tuple, range: start..self.bytes.len() });
    }

    /// Lets `write` append one datagram; takes it back if that fails.
    pub(crate) fn write<E>(
        &mut self,
        tuple: Tuple,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Ok(()) => {
                let end = self.bytes.len();
                self.entries.push(Transmit { tuple, range: start..end });
                Ok(end - start)
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_no_trace() {
        let tuple = Tuple {
            protocol: Protocol::Udp,
            local: 0,
            remote: SocketAddr::from(([127, 0, 0, 1], 9)),
        };
        let mut arena = TransmitArena::new();
        arena.push(tuple, b"one");
        let failed = arena.write(tuple, |bytes| {
            bytes.extend_from_slice(b"half");
            Err("no key")
        });
        assert_eq!(failed, Err("no key"));
        let wrote: Result<usize, ()> = arena.write(tuple, |bytes| {
            bytes.extend_from_slice(b"two");
            Ok(())
        });
        assert_eq!(wrote, Ok(3));
        let sent: Vec<&[u8]> = arena.entries().iter().map(|entry| arena.data(entry)).collect();
        assert_eq!(sent, [b"one", b"two"]);
        assert_eq!(arena.bytes(), b"onetwo");
    }
}
