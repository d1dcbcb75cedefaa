//! One frame's full dependencies.

use super::{FLAGS_END, Header, Layers, MAX_CHAINS, References, Structure};
use crate::codec::Malformed;
use crate::codec::bits::BitReader;

/// What a frame is for one decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// Not part of it.
    NotPresent,
    /// Part of it, and nothing in it depends on this frame.
    Discardable,
    /// Part of it, and a receiver may start with it.
    Switch,
    /// Part of it.
    Required,
}

/// The full dependencies of one frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Layer of the frame.
    pub layers: Layers,
    /// What it refers to.
    pub references: References,
    /// Active decode targets, bit 0 for target 0; None: as before.
    pub active_targets: Option<u32>,
    indications: u64,
    chains: u8,
    chain_distances: [u8; MAX_CHAINS],
    /// Bit after the last field in the descriptor it was read from.
    pub(super) end_bit: usize,
}

impl Frame {
    /// Reads a descriptor with the structure in force for it (which may be its own).
    ///
    /// # Errors
    /// It ends too early, or names a template that the structure does not have.
    pub fn parse(data: &[u8], structure: &Structure) -> Result<Self, Malformed> {
        let header = Header::parse(data)?;
        let template = structure.template(header.template_id)?;
        let mut frame = Self {
            layers: template.layers,
            references: template.references,
            active_targets: None,
            indications: template.indications,
            chains: structure.chains(),
            chain_distances: template.chain_distances,
            end_bit: 24,
        };
        if data.len() <= 3 {
            return Ok(frame);
        }
        let mut reader = BitReader::new(data);
        reader.skip(25);
        let has_active = reader.flag()?;
        let own_indications = reader.flag()?;
        let own_references = reader.flag()?;
        let own_chains = reader.flag()?;
        if header.has_structure {
            reader.skip(structure.end_bit - FLAGS_END);
            frame.active_targets = Some(structure.all_targets());
        }
        if has_active {
            frame.active_targets = Some(reader.bits(structure.decode_targets().into())?);
        }
        if own_indications {
            frame.indications = 0;
            for target in 0..structure.decode_targets() {
                frame.indications |= u64::from(reader.bits(2)?) << (2 * target);
            }
        }
        if own_references {
            frame.references = References::default();
            loop {
                match reader.bits(2)? {
                    0 => break,
                    size => frame.references.push(reader.bits(4 * size)? + 1)?,
                }
            }
        }
        if own_chains {
            for distance in &mut frame.chain_distances[..usize::from(structure.chains())] {
                *distance = reader.bits(8)? as u8;
            }
        }
        frame.end_bit = reader.position();
        Ok(frame)
    }

    /// What the frame is for a decode target.
    #[must_use]
    pub fn indication(&self, target: u8) -> Indication {
        match self.indications.checked_shr(2 * u32::from(target)).unwrap_or(0) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    /// How far back the last frame of each chain lies; 0: the chain starts here.
    #[must_use]
    pub fn chain_distances(&self) -> &[u8] {
        &self.chain_distances[..usize::from(self.chains)]
    }
}
