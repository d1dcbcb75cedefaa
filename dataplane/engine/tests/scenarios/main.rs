//! The engine as a whole, one scenario per file, on a virtual clock and a seeded network.

#![allow(unreachable_pub, reason = "modules of one test")]

mod join;
mod sim;
