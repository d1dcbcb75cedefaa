//! How much a receiver's path can take: send-side Google congestion control.
//!
//! Fed with every packet that leaves for one transport and with that peer's transport-wide
//! feedback; answers with one estimate. Three opinions meet in it and the lowest holds:
//!
//! ```text
//! feedback ─ history ─┬─ groups ─ trendline ─ aimd ──── delay-based ─┐
//!                     ├─ surge ──────────────┤                       │
//!                     ├─ throughput (acknowledged rate) ─┘           ├─ min ─ estimate
//!                     ├─ fates ─ loss (maximum likelihood) loss-based┤
//!                     └─ probe (clusters toward a goal)      REMB ───┘
//! ```
//!
//! After draft-ietf-rmcat-gcc-02 and libwebrtc's goog_cc as of 2025 (constants named where used).
//! A forwarder is nearly always application limited, so the estimate grows by probing, and only
//! toward a goal: what the next better layer needs.

mod aimd;
mod estimator;
mod fates;
mod groups;
mod history;
mod loss;
mod probe;
mod surge;
mod throughput;
mod train;
mod trendline;

#[cfg(test)]
mod tests;

pub(crate) use estimator::EMPTIES;
pub use estimator::{BweConfig, Parts, SendSide};
pub use history::SentPacket;
pub use probe::{ProbeCluster, ProbeId};
