//! Datagrams in and out of the kernel in batches. All `unsafe` of it is in `sys.rs`.

mod locals;
mod receive;
mod sys;
mod transmit;

pub(crate) use locals::{Locals, MAX_SOCKETS, SharedLocals};
pub(crate) use receive::{Incoming, ReceiveBatch};
pub(crate) use sys::{EventFd, Poller, block_signals, thread_cpu_time};
pub(crate) use transmit::{TransmitStats, Transmitter};

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// Asked for in each direction: 16 MiB is 100 ms of 1.3 Gbit/s. The kernel caps it at
/// net.core.rmem_max and wmem_max, unless the process may override that.
const BUFFER_BYTES: i32 = 16 << 20;

/// One non-blocking UDP socket of one worker.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    /// The kernel segments a run of equal datagrams; taken back when a send says otherwise.
    segmentation: bool,
}

impl Socket {
    /// Binds. With `share`, other sockets of this process may bind to the same port, and the
    /// kernel spreads the far ends over them.
    ///
    /// An IPv6 socket takes IPv6 only, so that a wildcard of each family can be bound. A wildcard
    /// socket learns at which of our addresses a datagram came in.
    ///
    /// # Errors
    /// What the kernel says: port taken, address not ours, no permission.
    pub(crate) fn bind(address: SocketAddr, share: bool) -> io::Result<Self> {
        let socket = sys::udp_socket(address.is_ipv6())?;
        if address.is_ipv6() {
            sys::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        if share {
            sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        if address.ip().is_unspecified() {
            let (level, name) = match address {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            };
            sys::set_option(socket.as_fd(), level, name, 1)?;
        }
        ask_for_buffer(socket.as_fd(), libc::SO_RCVBUFFORCE, libc::SO_RCVBUF);
        ask_for_buffer(socket.as_fd(), libc::SO_SNDBUFFORCE, libc::SO_SNDBUF);
        // 0 leaves segmentation off until a message asks for it; an old kernel refuses the option.
        let segmentation =
            sys::set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        sys::bind(socket.as_fd(), address)?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        Ok(Self { socket, address, segmentation })
    }

    /// Where it listens; the port is never 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Bytes the kernel really holds for us on the way in.
    pub(crate) fn receive_buffer_bytes(&self) -> usize {
        // Linux doubles what it is asked for, to allow for its own bookkeeping.
        let doubled = sys::get_option(self.fd(), libc::SOL_SOCKET, libc::SO_RCVBUF).unwrap_or(0);
        usize::try_from(doubled / 2).unwrap_or(0)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Best effort: forcing needs CAP_NET_ADMIN, and a small buffer still works at low rates.
fn ask_for_buffer(fd: BorrowedFd<'_>, force: i32, ask: i32) {
    if sys::set_option(fd, libc::SOL_SOCKET, force, BUFFER_BYTES).is_err() {
        let _ = sys::set_option(fd, libc::SOL_SOCKET, ask, BUFFER_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_share_a_port_only_when_both_ask() {
        let one = Socket::bind("127.0.0.1:0".parse().unwrap(), true).unwrap();
        assert_ne!(one.address().port(), 0);
        let two = Socket::bind(one.address(), true).unwrap();
        assert_eq!(one.address(), two.address());
        let refused = Socket::bind(one.address(), false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn wildcards_of_both_families_bind_to_one_port() {
        let four = Socket::bind("0.0.0.0:0".parse().unwrap(), false).unwrap();
        let six = SocketAddr::new("::".parse().unwrap(), four.address().port());
        // A host without IPv6 says so; that is not what this test is about.
        match Socket::bind(six, false) {
            Ok(six) => assert_eq!(six.address().port(), four.address().port()),
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::AddrInUse),
        }
    }

    #[test]
    fn the_kernel_holds_at_least_its_default() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        assert!(socket.receive_buffer_bytes() >= 64 << 10);
    }
}
