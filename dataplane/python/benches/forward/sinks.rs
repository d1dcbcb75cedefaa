//! Sockets of the clients: every datagram is counted, or handed to the client's engine.

use std::net::{SocketAddr, UdpSocket};

use crate::system::{self, Reader};

/// Enough for a few bursts, whatever the scheduler does meanwhile.
const BUFFER_BYTES: i32 = 4 << 20;

/// One socket per client.
pub(crate) struct Sinks {
    pub(crate) sockets: Vec<UdpSocket>,
    reader: Reader,
}

impl Sinks {
    pub(crate) fn new(count: usize) -> Self {
        let bind = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            if !system::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER_BYTES) {
                system::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER_BYTES);
            }
            socket
        };
        Self { sockets: (0..count).map(bind).collect(), reader: Reader::new() }
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
    }

    /// One batch of every socket.
    pub(crate) fn drain(&mut self, mut on_datagram: impl FnMut(usize, &mut [u8])) {
        for (index, socket) in self.sockets.iter().enumerate() {
            for datagram in self.reader.read(socket) {
                on_datagram(index, datagram);
            }
        }
    }
}

/// Media, by the first two bytes (RFC 7983, RFC 5761 section 4).
pub(crate) fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)))
}
