//! A seeded, repeatable bad network, without sockets and without a clock of its own.
//!
//! One [`Link`] is one direction. `send` puts a packet in, `poll` takes those out that are due,
//! `poll_timeout` says when to look again. The same seed and the same calls give the same fate to
//! every packet. A packet passes, in this order: outage, random loss, the bottleneck's queue and
//! rate, delay with jitter.

mod config;
mod link;
mod loss;

pub use config::{ConfigError, LinkConfig};
pub use link::{Drop, Link, Totals};
