//! The Python module `sfu.dataplane._native`.

use pyo3::prelude::*;

/// Packet plane of Airside: worker threads, sockets, and the one class that drives them.
#[pymodule]
mod _native {}
