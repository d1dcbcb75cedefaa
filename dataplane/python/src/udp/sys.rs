//! Safe wrappers of the system calls that std does not have. Nothing here decides anything.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Holds packet info and segment size of one message; CMSG_SPACE of both is 64.
const CONTROL_BYTES: usize = 64;

/// Ancillary data of one message. Aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn len_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

pub(super) fn udp_socket(ipv6: bool) -> io::Result<OwnedFd> {
    let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; on success the descriptor is new and ours alone.
    unsafe { check(libc::socket(family, kind, 0)).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

pub(super) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live i32 and the length is its size.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len_of::<i32>())
    };
    check(result).map(drop)
}

pub(super) fn get_option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut len = len_of::<i32>();
    // SAFETY: both pointers are to live variables, `len` is the size of `value`.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len)
    };
    check(result).map(|_| value)
}

pub(super) fn bind(fd: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let mut storage = empty_address();
    let len = write_address(&mut storage, address);
    // SAFETY: `storage` holds a valid address of `len` bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), len) }).map(drop)
}

/// Wakes a thread that sleeps in [`poll`].
#[derive(Debug)]
pub(crate) struct EventFd(File);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; on success the descriptor is new and ours alone.
        let fd = unsafe { check(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))? };
        // SAFETY: as above.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Makes it readable. Cannot block; a full counter is readable already.
    pub(crate) fn signal(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub(crate) fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Which descriptors are ready: level-triggered, so what is left unread shows up again.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    ready: Vec<libc::epoll_event>,
}

/// Ready descriptors told of at once; the others come with the next call.
const MAX_READY: usize = 256;

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; on success the descriptor is new and ours alone.
        let epoll = unsafe {
            check(libc::epoll_create1(libc::EPOLL_CLOEXEC)).map(|fd| OwnedFd::from_raw_fd(fd))?
        };
        Ok(Self { epoll, ready: Vec::with_capacity(MAX_READY) })
    }

    /// Tells when it can be read. Closing it ends that.
    pub(crate) fn watch(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: token };
        let epoll = self.epoll.as_raw_fd();
        // SAFETY: `event` outlives the call; a wrong descriptor is an error, not undefined.
        let result = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        check(result).map(drop)
    }

    /// Waits until something is ready or the time is over; an interruption counts as over.
    pub(crate) fn wait(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let time = wait.map(|wait| libc::timespec {
            tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(wait.subsec_nanos().cast_signed()),
        });
        self.ready.clear();
        // SAFETY: `ready` has room for MAX_READY events and the kernel initialises as many as it
        // returns; the time is null or outlives the call; a null mask changes no signals.
        let result = unsafe {
            let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
            let count = libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.ready.as_mut_ptr(),
                MAX_READY as libc::c_int,
                time,
                ptr::null::<libc::sigset_t>(),
                size_of::<libc::sigset_t>(),
            );
            check(count as libc::c_int)
        };
        match result {
            // SAFETY: the kernel initialised that many, at most MAX_READY.
            Ok(count) => unsafe { self.ready.set_len(usize::try_from(count).unwrap_or(0)) },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Tokens of the descriptors that the last `wait` found readable, by number from 0.
    pub(crate) fn ready(&self, index: usize) -> Option<u64> {
        self.ready.get(index).map(|event| event.u64)
    }
}

/// Keeps signals away from this thread: the interpreter's main thread handles them.
pub(crate) fn block_signals() {
    // SAFETY: an all-zero set is valid memory for sigfillset, which then initialises it.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
    }
}

/// Processor time that the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What the kernel said about one received datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) len: usize,
    /// `None`: a family we did not bind.
    pub(super) remote: Option<SocketAddr>,
    /// Our address it was sent to; only on wildcard sockets.
    pub(super) destination: Option<IpAddr>,
    /// Longer than the buffer.
    pub(super) truncated: bool,
}

/// The memory that one recvmmsg fills: `capacity` buffers of `size` bytes each.
pub(super) struct ReceiveMemory {
    buffers: Box<[u8]>,
    headers: Box<[libc::mmsghdr]>,
    // Pointed to by the headers; boxes do not move their contents.
    _iovecs: Box<[libc::iovec]>,
    addresses: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
    size: usize,
    filled: usize,
}

// SAFETY: the pointers in the headers lead only into the boxes beside them, which move along.
unsafe impl Send for ReceiveMemory {}

impl ReceiveMemory {
    pub(super) fn new(capacity: usize, size: usize) -> Self {
        let mut buffers = vec![0u8; capacity * size].into_boxed_slice();
        let mut addresses = vec![empty_address(); capacity].into_boxed_slice();
        let mut controls = vec![Control([0; CONTROL_BYTES]); capacity].into_boxed_slice();
        let mut iovecs: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(size)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: size })
            .collect();
        let headers = (0..capacity).map(|index| {
            // SAFETY: all-zero is a valid mmsghdr: null pointers and zero lengths.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut addresses[index]).cast();
            header.msg_hdr.msg_namelen = len_of::<libc::sockaddr_storage>();
            header.msg_hdr.msg_iov = &raw mut iovecs[index];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls[index].0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
            header
        });
        let headers = headers.collect();
        Self { buffers, headers, _iovecs: iovecs, addresses, controls, size, filled: 0 }
    }

    /// Reads what is there, up to the capacity. Returns how many datagrams came.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = len_of::<libc::sockaddr_storage>();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
            header.msg_hdr.msg_flags = 0;
        }
        self.filled = 0;
        let capacity = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        // SAFETY: each header points into boxes that live as long as `self` and are as long as it
        // says; nothing else reads or writes them during the call.
        let result = check(unsafe {
            let headers = self.headers.as_mut_ptr();
            libc::recvmmsg(fd.as_raw_fd(), headers, capacity, libc::MSG_DONTWAIT, ptr::null_mut())
        });
        self.filled = usize::try_from(result?).unwrap_or(0);
        Ok(self.filled)
    }

    /// The datagrams of the last `receive`.
    pub(super) fn datagrams(&mut self) -> impl Iterator<Item = (Received, &mut [u8])> {
        let size = self.size;
        let metas = self.headers.iter().zip(&self.addresses).zip(&self.controls);
        let messages = metas.zip(self.buffers.chunks_exact_mut(size)).take(self.filled);
        messages.map(move |(((header, address), control), buffer)| {
            let len = usize::try_from(header.msg_len).unwrap_or(0).min(size);
            let received = Received {
                len,
                remote: read_address(address),
                destination: destination(&header.msg_hdr, control),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
            (received, &mut buffer[..len])
        })
    }
}

/// Our address from the packet info of a received message.
fn destination(header: &libc::msghdr, control: &Control) -> Option<IpAddr> {
    let head = size_of::<libc::cmsghdr>();
    let used = control.0.get(..header.msg_controllen)?;
    if used.len() < head {
        return None;
    }
    // SAFETY: `used` is aligned for and at least as long as a cmsghdr.
    let first: libc::cmsghdr = unsafe { used.as_ptr().cast::<libc::cmsghdr>().read() };
    let data = &used[head..];
    match (first.cmsg_level, first.cmsg_type) {
        // in_pktinfo: interface index, then our address (ipi_spec_dst), then the header's.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let bytes: [u8; 4] = data.get(4..8)?.try_into().ok()?;
            Some(Ipv4Addr::from(bytes).into())
        }
        // in6_pktinfo: our address, then interface index.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let bytes: [u8; 16] = data.get(..16)?.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// One send: a datagram, or several of equal length to one address that the kernel cuts apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) remote: SocketAddr,
    pub(super) data: &'a [u8],
    /// Length of each datagram but the last; `None`: `data` is one datagram.
    pub(super) segment: Option<u16>,
    /// Our address to send from; `None`: the kernel chooses.
    pub(super) source: Option<IpAddr>,
}

/// The memory that one sendmmsg reads.
pub(super) struct SendMemory {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    addresses: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
}

// SAFETY: the pointers in headers and iovecs are written and used within one call of `send`.
unsafe impl Send for SendMemory {}

impl SendMemory {
    pub(super) fn new(capacity: usize) -> Self {
        // SAFETY: all-zero is a valid mmsghdr and iovec: null pointers and zero lengths.
        let (header, iovec) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            headers: vec![header; capacity],
            iovecs: vec![iovec; capacity],
            addresses: vec![empty_address(); capacity],
            controls: vec![Control([0; CONTROL_BYTES]); capacity],
        }
    }

    /// Sends up to the capacity, and returns how many messages the kernel took.
    ///
    /// # Errors
    /// About the first message; none was sent.
    pub(super) fn send<'a>(
        &mut self,
        fd: BorrowedFd<'_>,
        messages: impl Iterator<Item = Message<'a>>,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (index, message) in messages.take(self.headers.len()).enumerate() {
            let address = &mut self.addresses[index];
            let header = &mut self.headers[index].msg_hdr;
            header.msg_namelen = write_address(address, message.remote);
            header.msg_name = ptr::from_mut(address).cast();
            self.iovecs[index] = libc::iovec {
                // The kernel only reads through it.
                iov_base: message.data.as_ptr().cast_mut().cast(),
                iov_len: message.data.len(),
            };
            header.msg_iov = &raw mut self.iovecs[index];
            header.msg_iovlen = 1;
            let control = &mut self.controls[index];
            header.msg_controllen = write_control(control, message.segment, message.source);
            header.msg_control = match header.msg_controllen {
                0 => ptr::null_mut(),
                _ => control.0.as_mut_ptr().cast(),
            };
            count += 1;
        }
        let vlen = u32::try_from(count).unwrap_or(u32::MAX);
        // SAFETY: the first `count` headers point to live entries of our vectors, which do not
        // move, and to message data borrowed for 'a, which outlives this call.
        let sent = check(unsafe {
            let headers = self.headers.as_mut_ptr();
            libc::sendmmsg(fd.as_raw_fd(), headers, vlen, libc::MSG_DONTWAIT)
        })?;
        Ok(usize::try_from(sent).unwrap_or(0))
    }
}

/// Writes the ancillary data and returns its length.
fn write_control(control: &mut Control, segment: Option<u16>, source: Option<IpAddr>) -> usize {
    let mut used = 0;
    if let Some(segment) = segment {
        used +=
            put_control(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    match source {
        Some(IpAddr::V4(source)) => {
            // in_pktinfo with interface 0: only the source is given.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&source.octets());
            used += put_control(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(source)) => {
            let mut info = [0; 20];
            info[..16].copy_from_slice(&source.octets());
            used += put_control(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    used
}

/// One control message at `at`; returns the space it takes.
fn put_control(control: &mut Control, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
    let head = size_of::<libc::cmsghdr>();
    let len = head + data.len();
    // SAFETY: all-zero is a valid cmsghdr.
    let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
    header.cmsg_len = len;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    let target = &mut control.0[at..at + len];
    // SAFETY: `target` has room for a cmsghdr, and `at` is a multiple of 8 (see the return value).
    unsafe { target.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
    target[head..].copy_from_slice(data);
    len.next_multiple_of(align_of::<libc::cmsghdr>())
}

fn empty_address() -> libc::sockaddr_storage {
    // SAFETY: all-zero is a valid sockaddr_storage, of family AF_UNSPEC.
    unsafe { mem::zeroed() }
}

/// Writes the address and returns its length.
fn write_address(storage: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    let storage = ptr::from_mut(storage);
    match address {
        SocketAddr::V4(address) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage is large enough and aligned for every address.
            unsafe { storage.cast::<libc::sockaddr_in>().write(raw) };
            len_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe { storage.cast::<libc::sockaddr_in6>().write(raw) };
            len_of::<libc::sockaddr_in6>()
        }
    }
}

fn read_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let storage = ptr::from_ref(storage);
    // SAFETY: the family says which address the kernel wrote; a sockaddr_storage is large enough
    // and aligned for every one.
    unsafe {
        match i32::from((*storage).ss_family) {
            libc::AF_INET => {
                let raw = storage.cast::<libc::sockaddr_in>().read();
                let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
            }
            libc::AF_INET6 => {
                let raw = storage.cast::<libc::sockaddr_in6>().read();
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                Some(SocketAddrV6::new(ip, port, 0, raw.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_form() {
        for text in ["192.0.2.1:7882", "[2001:db8::1]:1", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut storage = empty_address();
            write_address(&mut storage, address);
            assert_eq!(read_address(&storage), Some(address));
        }
        assert_eq!(read_address(&empty_address()), None);
    }

    #[test]
    fn both_control_messages_fit_aligned() {
        let mut control = Control([0; CONTROL_BYTES]);
        let source = Some("2001:db8::1".parse().unwrap());
        assert_eq!(write_control(&mut control, Some(1200), source), 64);
        assert_eq!(write_control(&mut control, Some(1200), None), 24);
        assert_eq!(write_control(&mut control, None, None), 0);
    }

    #[test]
    fn an_event_wakes_a_poll_until_cleared() {
        let event = EventFd::new().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.watch(event.raw_fd(), 7).unwrap();
        event.signal();
        event.signal();
        poller.wait(None).unwrap();
        assert_eq!((poller.ready(0), poller.ready(1)), (Some(7), None));
        event.clear();
        poller.wait(Some(Duration::from_micros(10))).unwrap();
        assert_eq!(poller.ready(0), None);
    }
}
