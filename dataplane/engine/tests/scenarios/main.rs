//! The engine as a whole, one scenario per file, on a virtual clock and a seeded network.

#![allow(unreachable_pub, reason = "modules of one test")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../encoders/mod.rs"]
mod encoders;

mod bad_path;
mod bottleneck;
mod data;
mod dynacast;
mod fairness;
mod handshake;
mod hostile;
mod join;
mod keyframes;
mod layers;
mod local;
mod loss;
mod packet_path;
mod paths;
mod promises;
mod quality;
mod red;
mod reordering;
mod sim;
mod slots;
mod svc;
mod taps;
mod vectors;
mod voices;
mod workers;
