//! Memory that two processes map. All `unsafe` of the rings is here.
//!
//! It is seen as atomic words only: the other process may write at any time, and what it writes is read as
//! values, never as something that has to be true. Its size is sealed, or a shorter file would kill us.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// As seen in /proc.
const NAME: &CStr = c"airside-ring";
const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// A mapping of words, shared by all who have its descriptor.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: it is memory of atomics, mapped until it is dropped.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// New memory, all 0, and the descriptor by which another process maps it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn create(words: usize) -> io::Result<(Self, OwnedFd)> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name ends with 0; on success the descriptor is new and ours alone.
        let file = unsafe { check(libc::memfd_create(NAME.as_ptr(), flags)) };
        // SAFETY: as above.
        let file = unsafe { File::from_raw_fd(file?) };
        file.set_len(bytes(words)? as u64)?;
        // SAFETY: no pointers.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) })?;
        Ok((Self::map(&file, words)?, file.into()))
    }

    /// Memory that another process has made.
    ///
    /// # Errors
    /// It is none, or of another size, or can still change that.
    pub(super) fn open(descriptor: OwnedFd, words: usize) -> io::Result<Self> {
        let file = File::from(descriptor);
        // SAFETY: no pointers; a descriptor that is no sealed memory is an error, not undefined.
        let seals = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) })?;
        if seals & SEALS != SEALS || file.metadata()?.len() != bytes(words)? as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no ring of ours"));
        }
        Self::map(&file, words)
    }

    fn map(file: &File, words: usize) -> io::Result<Self> {
        let (access, descriptor) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping at an address of the kernel's choice; the file has that size for ever.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), bytes(words)?, access, libc::MAP_SHARED, descriptor, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { start, len: words })
    }

    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: so many words are mapped as long as `self` lives, aligned to a page, and any bits are a
        // valid word. Every access of this and of other processes is atomic.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<u64>()) };
    }
}

/// Another descriptor of the same.
pub(super) fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a wrong number is an error, and a new descriptor is ours alone.
    let new = check(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

fn bytes(words: usize) -> io::Result<usize> {
    words.checked_mul(size_of::<u64>()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn both_sides_see_the_same_words_and_nobody_can_cut_them_off() {
        let (one, descriptor) = Memory::create(1024).unwrap();
        let again = descriptor.as_fd().try_clone_to_owned().unwrap();
        let two = Memory::open(descriptor, 1024).unwrap();
        one.words()[1023].store(7, Ordering::Relaxed);
        assert_eq!(two.words()[1023].load(Ordering::Relaxed), 7);
        let file = File::from(again);
        assert!(file.set_len(8).is_err() && file.set_len(1 << 20).is_err());
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        let (_, descriptor) = Memory::create(1024).unwrap();
        assert!(Memory::open(descriptor, 2048).is_err());
        let file = File::open("/proc/self/exe").unwrap();
        assert!(Memory::open(file.into(), 1024).is_err());
    }
}
