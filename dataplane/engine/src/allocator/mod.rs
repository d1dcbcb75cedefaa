//! A receiver's budget to one layer per video track, with the reason for each.
//!
//! Pure: [`Allocator::run`] takes what the link can do and what each track costs and is wanted for,
//! and answers with targets. Memory between runs is only what keeps the picture calm. The rules,
//! their constants and a worked table are in `ALLOCATION.md` beside this file.

#[path = "allocator.rs"]
mod core;
mod costs;
mod input;
mod ladder;
mod memory;
mod rates;
mod reason;
mod rounds;
mod window;

#[cfg(test)]
mod bottleneck;
#[cfg(test)]
mod tests;

pub use self::core::{Allocator, Summary};
pub use input::{Class, LinkState, TrackInput};
pub use rates::{MeanRate, PeakRate};
pub use reason::{Decision, Notice, Quality, Reason};
