//! Cores, and the three system calls that std does not have. All `unsafe` of the benchmark.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;
use std::{fs, mem, ptr};

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;
const DATAGRAM: usize = 2048;

/// The last two cores that this process may use: the first ones get the interrupts.
pub(crate) fn two_cores() -> (usize, usize) {
    // SAFETY: the set is plain memory, as large as we say.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        set
    };
    // SAFETY: the index is below the size of the set.
    let allowed =
        (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) });
    let allowed: Vec<usize> = allowed.collect();
    match allowed[..] {
        [.., load, worker] => (worker, load),
        _ => panic!("two cores are needed"),
    }
}

pub(crate) fn pin_this_thread(core: usize) {
    pin(0, core);
}

/// Pins a thread of this process, by its name, as soon as it has given itself one.
pub(crate) fn pin_thread(name: &str, core: usize) {
    let has_name = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    for _ in 0..1000 {
        if let Some(task) = fs::read_dir("/proc/self/task").unwrap().flatten().find(has_name) {
            return pin(task.file_name().to_string_lossy().parse().unwrap(), core);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no thread {name}");
}

fn pin(thread: libc::pid_t, core: usize) {
    // SAFETY: the set is plain memory, as large as we say, and the core below its size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(result, 0, "cannot pin to core {core}");
}

/// Processor time of the calling thread.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

pub(crate) fn set_option(socket: &UdpSocket, level: i32, name: i32, value: i32) -> bool {
    let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap();
    // SAFETY: the pointer is to a live i32.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    result == 0
}

/// Reads what a socket has, a batch at a time.
pub(crate) struct Reader {
    buffers: Vec<[u8; DATAGRAM]>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { buffers: vec![[0; DATAGRAM]; BATCH] }
    }

    /// The datagrams of one non-blocking recvmmsg.
    pub(crate) fn read(&mut self, socket: &UdpSocket) -> impl Iterator<Item = &mut [u8]> {
        let mut iovecs: [libc::iovec; BATCH] = std::array::from_fn(|index| libc::iovec {
            iov_base: self.buffers[index].as_mut_ptr().cast(),
            iov_len: DATAGRAM,
        });
        // SAFETY: all-zero headers are valid; each then points to one live iovec and buffer.
        let (count, headers) = unsafe {
            let mut headers: [libc::mmsghdr; BATCH] = mem::zeroed();
            for (header, iovec) in headers.iter_mut().zip(&mut iovecs) {
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
            }
            let flags = libc::MSG_DONTWAIT;
            let (fd, list) = (socket.as_raw_fd(), headers.as_mut_ptr());
            (libc::recvmmsg(fd, list, BATCH as u32, flags, ptr::null_mut()), headers)
        };
        let count = usize::try_from(count).unwrap_or(0);
        let lengths = headers.map(|header| header.msg_len as usize);
        self.buffers.iter_mut().zip(lengths).take(count).map(|(buffer, len)| &mut buffer[..len])
    }
}

/// Prepared messages, for one sendmmsg after another.
pub(crate) struct Writer {
    headers: Vec<libc::mmsghdr>,
    // Pointed to by the headers.
    _iovecs: Vec<libc::iovec>,
    _addresses: Vec<libc::sockaddr_in>,
    _controls: Vec<[u64; 3]>,
}

impl Writer {
    /// One message per destination: `data` of its own in `arena`, cut every `segment` bytes.
    pub(crate) fn new(
        destinations: &[SocketAddr],
        arena: &mut [u8],
        message_len: usize,
        segment: Option<usize>,
    ) -> Self {
        let mut addresses: Vec<libc::sockaddr_in> = destinations.iter().map(raw_address).collect();
        let mut iovecs: Vec<libc::iovec> = arena
            .chunks_exact_mut(message_len)
            .map(|data| libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() })
            .collect();
        assert_eq!(iovecs.len(), addresses.len());
        let mut controls = vec![control(segment.unwrap_or(0)); addresses.len()];
        let headers = (0..addresses.len()).map(|index| {
            // SAFETY: all-zero is a valid mmsghdr.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut addresses[index]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_hdr.msg_iov = &raw mut iovecs[index];
            header.msg_hdr.msg_iovlen = 1;
            if segment.is_some() {
                header.msg_hdr.msg_control = controls[index].as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = size_of::<[u64; 3]>();
            }
            header
        });
        let headers = headers.collect();
        Self { headers, _iovecs: iovecs, _addresses: addresses, _controls: controls }
    }

    /// Sends all of them; waits for room.
    pub(crate) fn send(&mut self, socket: &UdpSocket) {
        let mut sent = 0;
        while sent < self.headers.len() {
            let rest = &mut self.headers[sent..];
            // SAFETY: headers point into vectors of ours that have not moved, and into the arena,
            // which outlives the benchmark's loop.
            let result = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0)
            };
            sent += usize::try_from(result).expect("sendmmsg");
        }
    }
}

fn raw_address(address: &SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(address) = address else { panic!("IPv4 only") };
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

/// One control message: UDP_SEGMENT.
fn control(segment: usize) -> [u64; 3] {
    let level = u64::from(libc::SOL_UDP.cast_unsigned());
    let kind = u64::from(libc::UDP_SEGMENT.cast_unsigned());
    [18, level | kind << 32, segment as u64]
}
