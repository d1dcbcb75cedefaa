//! The packet plane without sockets, threads or Python.
//!
//! Contract of every stateful part: `handle_*(.., now)` puts something in, `poll_*` takes results
//! out, and `poll_timeout` says when to call `handle_timeout` next.
#![forbid(unsafe_code)]

pub mod demux;
pub mod error;
pub mod load;
pub mod stun;
pub mod units;
