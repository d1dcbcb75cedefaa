//! Dependency descriptor header extension (RTP payload format for AV1, appendix A).
//!
//! Per publisher: [`Header`] of each packet, [`Structure`] when one is attached, [`Frame`] for the
//! full dependencies, all of it resolved once for everybody as [`Dependency`]. Per subscription:
//! [`Rewriter`], which writes the bytes that this subscriber gets.

mod frame;
mod rewriter;
mod structure;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::Malformed;

pub use frame::{Frame, Indication};
pub use rewriter::{Change, MAX_LEN, Rewriter};
pub use structure::{Structure, StructureHistory};

/// Templates ids have 6 bits.
const MAX_TEMPLATES: usize = 64;
/// Decode targets are counted with 5 bits, and chains are not more than those.
const MAX_CHAINS: usize = 32;
/// An AV1 frame refers to at most 7 others; one to spare.
const MAX_REFERENCES: usize = 8;
/// Bits of the mandatory fields and the five flags.
const FLAGS_END: usize = 29;

/// What every descriptor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// First packet of a frame.
    pub start: bool,
    /// Last packet of a frame.
    pub end: bool,
    /// Names a template of the structure in force.
    pub template_id: u8,
    /// Counts frames, 16 bits.
    pub frame_number: u16,
    /// A new structure is attached, as on each keyframe.
    pub has_structure: bool,
}

impl Header {
    /// Reads the first bytes.
    ///
    /// # Errors
    /// Shorter than three bytes.
    pub fn parse(data: &[u8]) -> Result<Self, Malformed> {
        let &[first, high, low, ref rest @ ..] = data else { return Err(Malformed) };
        Ok(Self {
            start: first & 0x80 != 0,
            end: first & 0x40 != 0,
            template_id: first & 0x3f,
            frame_number: u16::from_be_bytes([high, low]),
            has_structure: rest.first().is_some_and(|flags| flags & 0x80 != 0),
        })
    }
}

/// Layer of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Layers {
    /// Spatial layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
}

/// Frames that a frame refers to, as distances in frame numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct References {
    distances: [u16; MAX_REFERENCES],
    len: u8,
}

impl References {
    fn push(&mut self, distance: u32) -> Result<(), Malformed> {
        let place = self.distances.get_mut(usize::from(self.len)).ok_or(Malformed)?;
        // At most 12 bits and one.
        *place = distance as u16;
        self.len += 1;
        Ok(())
    }

    /// How many frames back each reference lies.
    #[must_use]
    pub fn distances(&self) -> &[u16] {
        &self.distances[..usize::from(self.len)]
    }
}

/// What one packet's descriptor says, resolved for all subscribers.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Frame number, unwrapped; rises over restarts of the encoder.
    pub number: u64,
    /// What the frame needs and is needed for.
    pub frame: Frame,
    /// Decode targets the publisher makes now, bit 0 for target 0.
    pub active_targets: u32,
    /// The structure in force.
    pub structure: Arc<Structure>,
}
