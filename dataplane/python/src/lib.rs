//! The Python module `sfu.dataplane._native`, and the I/O shell beneath it.
//!
//! [`shell`] starts one thread per worker; each drives one sans-IO engine with the sockets of
//! `udp`. Python sits on the other side of two queues and is never called from a worker.

#[cfg(feature = "python")]
mod binding;
pub mod local_ring;
mod players;
mod queues;
mod ring;
pub mod shell;
mod taps;
mod udp;
pub mod wires;
mod worker;

/// CRC-32 of all Rust sources, from `build.rs`.
#[cfg(feature = "python")]
const SOURCE_CHECKSUM: u32 = include!(concat!(env!("OUT_DIR"), "/source_checksum.rs"));

/// Packet plane of Airside: worker threads, sockets, and the one class that drives them.
#[cfg(feature = "python")]
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::binding::Plane;

    /// See `sfu/dataplane/freshness.py`.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const source_checksum: u32 = crate::SOURCE_CHECKSUM;
}
