//! Template dependency structures, and which one holds for a frame.

use std::sync::Arc;

use super::{FLAGS_END, Header, Layers, MAX_CHAINS, MAX_TEMPLATES, References};
use crate::codec::Malformed;
use crate::codec::bits::BitReader;

/// Structures kept: a late packet may still refer to the one before.
const HISTORY: usize = 2;

/// What frames of one kind have in common.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Template {
    pub(super) layers: Layers,
    /// Two bits per decode target, target 0 lowest.
    pub(super) indications: u64,
    pub(super) references: References,
    pub(super) chain_distances: [u8; MAX_CHAINS],
}

/// Template dependency structure: what kinds of frames a stream has.
#[derive(Debug, Clone)]
pub struct Structure {
    template_offset: u8,
    template_count: u8,
    decode_targets: u8,
    chains: u8,
    /// Bit after the structure in the descriptor it came with.
    pub(super) end_bit: usize,
    templates: [Template; MAX_TEMPLATES],
    /// Chain that protects each decode target.
    protected_by: [u8; MAX_CHAINS],
    /// Highest layers of each decode target.
    target_layers: [Layers; MAX_CHAINS],
    /// Decode targets, highest layers first.
    by_quality: [u8; MAX_CHAINS],
}

impl Structure {
    /// Reads the structure out of a descriptor that has one (A.8.2).
    ///
    /// # Errors
    /// None attached, it ends too early, or more templates or references than possible.
    pub fn parse(data: &[u8]) -> Result<Self, Malformed> {
        if !Header::parse(data)?.has_structure {
            return Err(Malformed);
        }
        let mut reader = BitReader::new(data);
        reader.skip(FLAGS_END);
        let template_offset = reader.bits(6)? as u8;
        let decode_targets = reader.bits(5)? as u8 + 1;
        let mut structure = Self {
            template_offset,
            template_count: 0,
            decode_targets,
            chains: 0,
            end_bit: 0,
            templates: [Template::default(); MAX_TEMPLATES],
            protected_by: [0; MAX_CHAINS],
            target_layers: [Layers::default(); MAX_CHAINS],
            by_quality: std::array::from_fn(|target| target as u8),
        };
        let max_spatial = structure.parse_layers(&mut reader)?;
        let count = usize::from(structure.template_count);
        for template in &mut structure.templates[..count] {
            for target in 0..decode_targets {
                let indication = u64::from(reader.bits(2)?);
                template.indications |= indication << (2 * target);
                if indication != 0 {
                    let layers = &mut structure.target_layers[usize::from(target)];
                    layers.spatial = layers.spatial.max(template.layers.spatial);
                    layers.temporal = layers.temporal.max(template.layers.temporal);
                }
            }
        }
        let layers = structure.target_layers;
        structure.by_quality[..usize::from(decode_targets)]
            .sort_unstable_by_key(|target| std::cmp::Reverse(layers[usize::from(*target)]));
        for template in &mut structure.templates[..count] {
            while reader.flag()? {
                template.references.push(reader.bits(4)? + 1)?;
            }
        }
        structure.chains = reader.non_symmetric(u32::from(decode_targets) + 1)? as u8;
        if structure.chains > 0 {
            for target in 0..usize::from(decode_targets) {
                structure.protected_by[target] =
                    reader.non_symmetric(structure.chains.into())? as u8;
            }
            for template in &mut structure.templates[..count] {
                for distance in &mut template.chain_distances[..usize::from(structure.chains)] {
                    *distance = reader.bits(4)? as u8;
                }
            }
        }
        if reader.flag()? {
            for _ in 0..=max_spatial {
                reader.bits(32)?;
            }
        }
        structure.end_bit = reader.position();
        Ok(structure)
    }

    /// Reads the list of layers and returns the highest spatial one.
    fn parse_layers(&mut self, reader: &mut BitReader<'_>) -> Result<u8, Malformed> {
        let mut layers = Layers::default();
        loop {
            let at = usize::from(self.template_count);
            self.templates.get_mut(at).ok_or(Malformed)?.layers = layers;
            self.template_count += 1;
            match reader.bits(2)? {
                0 => {}
                1 => layers.temporal += 1,
                2 => layers = Layers { spatial: layers.spatial + 1, temporal: 0 },
                _ => return Ok(layers.spatial),
            }
        }
    }

    pub(super) fn chains(&self) -> u8 {
        self.chains
    }

    pub(super) fn template(&self, id: u8) -> Result<&Template, Malformed> {
        let index = (id + 64 - self.template_offset) % 64;
        if index >= self.template_count {
            return Err(Malformed);
        }
        Ok(&self.templates[usize::from(index)])
    }

    /// Layers of a frame by its template id.
    ///
    /// # Errors
    /// The structure has no such template.
    pub fn layers(&self, template_id: u8) -> Result<Layers, Malformed> {
        Ok(self.template(template_id)?.layers)
    }

    /// First template id.
    #[must_use]
    pub fn template_offset(&self) -> u8 {
        self.template_offset
    }

    /// How many template ids follow from the first.
    #[must_use]
    pub fn template_count(&self) -> u8 {
        self.template_count
    }

    /// How many decode targets there are, 1..=32.
    #[must_use]
    pub fn decode_targets(&self) -> u8 {
        self.decode_targets
    }

    /// All decode targets, bit 0 for target 0.
    #[must_use]
    pub fn all_targets(&self) -> u32 {
        u32::MAX >> (32 - self.decode_targets)
    }

    /// The highest layers that a decode target has.
    #[must_use]
    pub fn target_layers(&self, target: u8) -> Option<Layers> {
        (target < self.decode_targets).then(|| self.target_layers[usize::from(target)])
    }

    /// Decode targets, those with the highest layers first.
    #[must_use]
    pub fn targets_by_quality(&self) -> &[u8] {
        &self.by_quality[..usize::from(self.decode_targets)]
    }

    /// The chain that protects a decode target; None when the stream has no chains.
    #[must_use]
    pub fn protected_by(&self, target: u8) -> Option<u8> {
        if self.chains == 0 || target >= self.decode_targets {
            return None;
        }
        Some(self.protected_by[usize::from(target)])
    }
}

/// The structures of one stream by the frame they came with.
#[derive(Debug, Default)]
pub struct StructureHistory {
    /// Newest last.
    structures: Vec<(u64, Arc<Structure>)>,
}

impl StructureHistory {
    /// Stores the structure that came with an (unwrapped) frame number.
    pub fn insert(&mut self, frame: u64, structure: Structure) {
        let structure = Arc::new(structure);
        if let Some(place) = self.structures.iter_mut().find(|(first, _)| *first == frame) {
            place.1 = structure;
            return;
        }
        if self.structures.len() == HISTORY {
            self.structures.remove(0);
        } else {
            self.structures.reserve_exact(HISTORY);
        }
        let at = self.structures.partition_point(|(first, _)| *first < frame);
        self.structures.insert(at, (frame, structure));
    }

    /// The structure in force for a frame.
    #[must_use]
    pub fn get(&self, frame: u64) -> Option<&Arc<Structure>> {
        self.structures.iter().rev().find(|(first, _)| *first <= frame).map(|(_, found)| found)
    }
}
