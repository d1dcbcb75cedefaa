//! A TUN device in a network namespace: whole IP packets in and out. All `unsafe` of this crate.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// Largest IP packet that is carried; the devices' MTU stays at 1500.
const MAX_PACKET: usize = 2048;
/// `TUNSETIFF` of linux/if_tun.h.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;

/// An open device; it goes with this value.
#[derive(Debug)]
pub(crate) struct Tun {
    fd: OwnedFd,
    buffer: Box<[u8; MAX_PACKET]>,
}

impl Tun {
    /// Makes the device in a namespace (`-`: this one). Its addresses are the caller's business.
    ///
    /// # Errors
    /// As the system says: no such namespace, no right, or the name is taken.
    pub(crate) fn open(namespace: &str, device: &str) -> io::Result<Self> {
        if namespace == "-" {
            return Self::open_here(device);
        }
        let home = File::open("/proc/thread-self/ns/net")?;
        enter(&File::open(format!("/var/run/netns/{namespace}"))?)?;
        let tun = Self::open_here(device);
        enter(&home)?;
        tun
    }

    fn open_here(device: &str) -> io::Result<Self> {
        if device.is_empty() || device.len() >= libc::IFNAMSIZ {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "device name of 1 to 15 bytes",
            ));
        }
        // SAFETY: a constant C string and flags; the result is checked.
        let fd = unsafe {
            libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: ifreq is plain data for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        // SAFETY: the descriptor is open and `request` outlives the call.
        if unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETIFF, &raw mut request) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { fd, buffer: Box::new([0; MAX_PACKET]) })
    }

    /// The next packet that somebody sent into the device; `None` when there is none now.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        // SAFETY: the buffer is ours and as long as we say.
        let count = unsafe {
            libc::read(self.fd.as_raw_fd(), self.buffer.as_mut_ptr().cast(), self.buffer.len())
        };
        usize::try_from(count)
            .ok()
            .filter(|count| *count > 0)
            .map(|count| self.buffer[..count].to_vec())
    }

    /// Lets a packet arrive from the device; one the system does not take is lost, as on a wire.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        // SAFETY: the slice is valid for its length; the kernel only reads it.
        let _ = unsafe { libc::write(self.fd.as_raw_fd(), packet.as_ptr().cast(), packet.len()) };
    }
}

/// Sleeps until a device has a packet or the time is over.
pub(crate) fn wait(a: &Tun, b: &Tun, time: Duration) {
    let watch =
        |tun: &Tun| libc::pollfd { fd: tun.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut watched = [watch(a), watch(b)];
    let time = libc::timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: i64::from(time.subsec_nanos()),
    };
    // SAFETY: two entries, two announced; no signal mask.
    unsafe { libc::ppoll(watched.as_mut_ptr(), 2, &raw const time, std::ptr::null()) };
}

/// Moves this thread into a namespace; devices made from now on are born there.
fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: an open descriptor and a constant.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
