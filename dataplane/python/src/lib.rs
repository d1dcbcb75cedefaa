//! The Python module `sfu.dataplane._native`.
