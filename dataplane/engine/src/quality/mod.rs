//! How good a call is for one participant, in one direction, told without asking the client.
//!
//! Every window each track gives its figures ([`Window`]); [`TrackScore`] turns them into a score of
//! 0 to 100, and [`Quality`] takes the worst track as the participant's class. Freezes and
//! concealment are estimates from what was forwarded, reported and lost: [`FreezeMeter`],
//! [`Concealment`]. The meters gather all that per published layer and track and per slot; `watch.rs`
//! reads them on the clock.
//!
//! After LiveKit's `connectionquality/scorer.go` (forwarding reference, section 8.1): a linear
//! reading of the E-model (ITU-T G.107) that weighs loss hard and delay softly.

mod audio;
mod class;
mod figures;
mod freeze;
mod meter;
mod score;

pub use audio::{Concealment, Fates, concealed_share};
pub use class::{Class, Quality, Verdict};
pub use figures::Figures;
pub use freeze::FreezeMeter;
pub(crate) use meter::{LayerMeter, SlotMeter, SlotSent, TrackMeter, TrackTotals};
pub use score::{LayerDistance, TrackKind, TrackScore, WINDOW, Window};
