//! One batch of received datagrams.

use std::io;
use std::net::SocketAddr;

use super::sys::ReceiveMemory;
use super::{Locals, Socket};

/// Datagrams per call: one wake-up and one clock reading for all, short enough to keep fair.
const BATCH: usize = 64;
/// Longest datagram taken; an Ethernet frame is 1500, and nothing in WebRTC sends longer ones.
const MAX_DATAGRAM: usize = 2048;

/// Memory for one batch, used again for each.
pub(crate) struct ReceiveBatch {
    memory: ReceiveMemory,
    /// Too long, or of a family that nobody bound.
    pub(crate) unusable: u64,
}

/// One received datagram, to be changed in place.
pub(crate) struct Incoming<'a> {
    /// Number of our end, see [`Locals`].
    pub(crate) local: u16,
    pub(crate) remote: SocketAddr,
    pub(crate) data: &'a mut [u8],
}

impl ReceiveBatch {
    pub(crate) fn new() -> Self {
        Self { memory: ReceiveMemory::new(BATCH, MAX_DATAGRAM), unusable: 0 }
    }

    /// Reads up to `BATCH` datagrams; 0 when the socket is empty.
    ///
    /// # Errors
    /// Anything else the kernel says. It concerns an earlier send or this call; go on.
    pub(crate) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        match self.memory.receive(socket.fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// What the last [`ReceiveBatch::receive`] of socket number `socket` brought.
    pub(crate) fn datagrams<'a>(
        &'a mut self,
        socket: u16,
        locals: &'a mut Locals,
    ) -> impl Iterator<Item = Incoming<'a>> {
        let unusable = &mut self.unusable;
        self.memory.datagrams().filter_map(move |(received, data)| {
            let Some(remote) = received.remote.filter(|_| !received.truncated && received.len > 0)
            else {
                *unusable += 1;
                return None;
            };
            let local = locals.number(socket, received.destination);
            Some(Incoming { local, remote, data })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn pair(bind: &str) -> (Socket, Locals, UdpSocket) {
        let socket = Socket::bind(bind.parse().unwrap(), false).unwrap();
        let locals = Locals::default();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.connect(("127.0.0.1", socket.address().port())).unwrap();
        (socket, locals, peer)
    }

    #[test]
    fn a_batch_keeps_order_and_sender() {
        let (socket, mut locals, peer) = pair("127.0.0.1:0");
        let mut batch = ReceiveBatch::new();
        assert_eq!(batch.receive(&socket).unwrap(), 0);
        for round in 0..2u8 {
            for index in 0..3u8 {
                peer.send(&[round, index]).unwrap();
            }
            assert_eq!(batch.receive(&socket).unwrap(), 3);
            let got: Vec<_> = batch.datagrams(0, &mut locals).collect();
            for (index, datagram) in got.iter().enumerate() {
                assert_eq!(datagram.data, [round, u8::try_from(index).unwrap()]);
                assert_eq!(datagram.remote, peer.local_addr().unwrap());
                assert_eq!(datagram.local, 0);
            }
        }
    }

    #[test]
    fn a_wildcard_socket_learns_the_address_that_was_asked() {
        let (socket, mut locals, peer) = pair("0.0.0.0:0");
        peer.send(b"hello").unwrap();
        let mut batch = ReceiveBatch::new();
        assert_eq!(batch.receive(&socket).unwrap(), 1);
        let local = batch.datagrams(0, &mut locals).next().unwrap().local;
        assert_eq!(locals.resolve(local), (0, Some("127.0.0.1".parse().unwrap())));
    }

    #[test]
    fn empty_and_oversized_datagrams_are_counted_and_left_out() {
        let (socket, mut locals, peer) = pair("127.0.0.1:0");
        peer.send(&[]).unwrap();
        peer.send(&[1; MAX_DATAGRAM + 1]).unwrap();
        peer.send(&[2; MAX_DATAGRAM]).unwrap();
        let mut batch = ReceiveBatch::new();
        assert_eq!(batch.receive(&socket).unwrap(), 3);
        let lengths: Vec<_> = batch.datagrams(0, &mut locals).map(|got| got.data.len()).collect();
        assert_eq!(lengths, [MAX_DATAGRAM]);
        assert_eq!(batch.unusable, 2);
    }
}
