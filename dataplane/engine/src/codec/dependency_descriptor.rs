//! Dependency descriptor header extension (RTP payload format for AV1, appendix A).
//!
//! Per publisher: [`Header`] of each packet, [`Structure`] when one is attached, [`Frame`] for the
//! full dependencies. Per subscription: [`Rewriter`], which edits the bytes in place.

use super::bits::BitReader;
use super::{Detail, FrameInfo, Malformed};

/// Templates ids have 6 bits.
const MAX_TEMPLATES: usize = 64;
/// Decode targets are counted with 5 bits, and chains are not more than those.
const MAX_CHAINS: usize = 32;
/// An AV1 frame refers to at most 7 others; one to spare.
const MAX_REFERENCES: usize = 8;
/// Bits of the mandatory fields and the five flags.
const FLAGS_END: usize = 29;
/// Structures kept: a late packet may still refer to the one before.
const HISTORY: usize = 2;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

#[derive(Debug, Clone, Copy, Default)]
struct Template {
    layers: Layers,
    /// Two bits per decode target, target 0 lowest.
    indications: u64,
    references: References,
    chain_distances: [u8; MAX_CHAINS],
}

/// Template dependency structure: what kinds of frames a stream has.
#[derive(Debug, Clone)]
pub struct Structure {
    template_offset: u8,
    template_count: u8,
    decode_targets: u8,
    chains: u8,
    /// Bit after the structure in the descriptor it came with.
    end_bit: usize,
    templates: [Template; MAX_TEMPLATES],
    /// Chain that protects each decode target.
    protected_by: [u8; MAX_CHAINS],
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
        };
        let max_spatial = structure.parse_layers(&mut reader)?;
        let count = usize::from(structure.template_count);
        for template in &mut structure.templates[..count] {
            for target in 0..decode_targets {
                template.indications |= u64::from(reader.bits(2)?) << (2 * target);
            }
        }
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

    fn template(&self, id: u8) -> Result<&Template, Malformed> {
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

    /// The chain that protects a decode target; None when the stream has no chains.
    #[must_use]
    pub fn protected_by(&self, target: u8) -> Option<u8> {
        if self.chains == 0 || target >= self.decode_targets {
            return None;
        }
        Some(self.protected_by[usize::from(target)])
    }
}

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
#[derive(Debug, Clone)]
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
            chains: structure.chains,
            chain_distances: template.chain_distances,
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
            frame.active_targets = Some(u32::MAX >> (32 - structure.decode_targets));
        }
        if has_active {
            frame.active_targets = Some(reader.bits(structure.decode_targets.into())?);
        }
        if own_indications {
            frame.indications = 0;
            for target in 0..structure.decode_targets {
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
            for distance in &mut frame.chain_distances[..usize::from(structure.chains)] {
                *distance = reader.bits(8)? as u8;
            }
        }
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

/// The structures of one stream by the frame they came with.
#[derive(Debug, Default)]
pub struct StructureHistory {
    /// Newest last.
    structures: Vec<(u64, Structure)>,
}

impl StructureHistory {
    /// Stores the structure that came with an (unwrapped) frame number. Allocates only the first
    /// time.
    pub fn insert(&mut self, frame: u64, structure: Structure) {
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
    pub fn get(&self, frame: u64) -> Option<&Structure> {
        self.structures.iter().rev().find(|(first, _)| *first <= frame).map(|(_, found)| found)
    }
}

/// Keeps frame numbers and template ids of one subscription continuous over source switches.
///
/// Frame numbers only move by a constant per source, because references are relative to them.
#[derive(Debug, Default)]
pub struct Rewriter {
    shift: i64,
    last_frame: Option<u64>,
    template_shift: u8,
    /// First template id that the receiver has not cached.
    next_template: u8,
}

impl Rewriter {
    /// Forwarding of a source starts at this packet. The first source keeps its numbers.
    pub fn switch(&mut self, info: &FrameInfo) {
        let Detail::Dependency { frame, template_offset, .. } = info.detail else { return };
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        if let Some(last) = self.last_frame {
            self.shift = (last + 1).wrapping_sub(frame) as i64;
            self.template_shift = self.next_template.wrapping_sub(template_offset) & 0x3f;
        }
    }

    /// Edits the extension of a packet that is forwarded or sent again.
    pub fn rewrite(&mut self, info: &FrameInfo, extension: &mut [u8]) {
        let Detail::Dependency { frame, templates, template_offset } = info.detail else { return };
        let [first, high, low, rest @ ..] = extension else { return };
        let out = frame.wrapping_add_signed(self.shift);
        self.last_frame = self.last_frame.max(Some(out));
        let offset = template_offset.wrapping_add(self.template_shift) & 0x3f;
        self.next_template = offset.wrapping_add(templates) & 0x3f;
        *first = *first & 0xc0 | first.wrapping_add(self.template_shift) & 0x3f;
        [*high, *low] = (out as u16).to_be_bytes();
        if let [flags, next, ..] = rest
            && *flags & 0x80 != 0
        {
            // Six bits of template_id_offset after five flags.
            *flags = *flags & 0xf8 | offset >> 3;
            *next = *next & 0x1f | offset << 5;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, Inspector, Keyframe};
    use super::*;

    /// Writes bit fields, for making descriptors.
    #[derive(Default)]
    struct BitWriter(Vec<bool>);

    impl BitWriter {
        fn put(&mut self, value: u32, count: u32) -> &mut Self {
            self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
            self
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |bits: &[bool]| {
                (0..8).fold(0, |byte, bit| byte << 1 | u8::from(bits.get(bit) == Some(&true)))
            };
            self.0.chunks(8).map(byte).collect()
        }
    }

    /// Two temporal layers: templates key, T0, T1; two decode targets; one chain.
    fn key_l1t2(template_offset: u32, frame: u32) -> Vec<u8> {
        let mut writer = BitWriter::default();
        writer.put(0b11, 2).put(template_offset, 6).put(frame, 16);
        writer.put(0b10000, 5).put(template_offset, 6).put(1, 5);
        writer.put(0, 2).put(1, 2).put(3, 2);
        // Indications: key = switch, switch; T0 = required, switch; T1 = not present, discardable.
        for indication in [2, 2, 3, 2, 0, 1] {
            writer.put(indication, 2);
        }
        writer.put(0, 1); // key: no reference
        writer.put(1, 1).put(1, 4).put(0, 1); // T0: 2 back
        writer.put(1, 1).put(0, 4).put(0, 1); // T1: 1 back
        writer.put(0b10, 2); // chain_cnt = 1 as ns(3)
        for distance in [0, 2, 1] {
            writer.put(distance, 4);
        }
        writer.put(1, 1).put(1279, 16).put(719, 16);
        writer.bytes()
    }

    fn delta(template: u8, frame: u16) -> [u8; 3] {
        let [high, low] = frame.to_be_bytes();
        [0xc0 | template, high, low]
    }

    #[test]
    fn structure_and_frames() {
        let data = key_l1t2(5, 100);
        let structure = Structure::parse(&data).unwrap();
        assert_eq!((structure.template_count(), structure.decode_targets()), (3, 2));
        assert_eq!(structure.protected_by(1), Some(0));
        assert_eq!(structure.protected_by(2), None);
        let key = Frame::parse(&data, &structure).unwrap();
        assert_eq!(key.active_targets, Some(0b11));
        assert_eq!(key.indication(0), Indication::Switch);
        assert!(key.references.distances().is_empty());
        let upper = Frame::parse(&delta(7, 101), &structure).unwrap();
        assert_eq!(upper.layers, Layers { spatial: 0, temporal: 1 });
        assert_eq!(upper.indication(0), Indication::NotPresent);
        assert_eq!(upper.indication(1), Indication::Discardable);
        assert_eq!((upper.references.distances(), upper.chain_distances()), (&[1][..], &[1][..]));
        assert_eq!(Frame::parse(&delta(8, 101), &structure).err(), Some(Malformed));
        assert_eq!(Frame::parse(&delta(4, 101), &structure).err(), Some(Malformed));
    }

    #[test]
    fn custom_fields_replace_the_templates() {
        let structure = Structure::parse(&key_l1t2(0, 100)).unwrap();
        let mut writer = BitWriter::default();
        writer.put(0b11, 2).put(1, 6).put(102, 16).put(0b01111, 5);
        writer.put(0b01, 2); // active: target 0 only
        writer.put(3, 2).put(0, 2); // indications
        writer.put(2, 2).put(16, 8).put(0, 2); // one reference, 17 back
        writer.put(200, 8); // chain
        let frame = Frame::parse(&writer.bytes(), &structure).unwrap();
        assert_eq!(frame.active_targets, Some(1), "lowest bit is target 0");
        assert_eq!(frame.indication(0), Indication::Required);
        assert_eq!(frame.indication(1), Indication::NotPresent);
        assert_eq!(frame.references.distances(), [17]);
        assert_eq!(frame.chain_distances(), [200]);
        for len in 0..writer.bytes().len() {
            let parsed = Frame::parse(&writer.bytes()[..len], &structure);
            assert_eq!(parsed.is_ok(), len == 3, "{len}");
        }
    }

    #[test]
    fn structure_truncated_at_each_length() {
        let data = key_l1t2(5, 100);
        for len in 0..data.len() {
            assert!(Structure::parse(&data[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn late_frame_finds_the_structure_before() {
        let mut inspector = Inspector::new(Codec::Av1);
        let mut see = |data: &[u8], newest| inspector.inspect(&[], Some(data), false, newest);
        assert_eq!(see(&key_l1t2(0, 65_534), true).keyframe, Keyframe::Yes);
        let late = delta(2, 65_535);
        assert_eq!(see(&key_l1t2(3, 0), true).keyframe, Keyframe::Yes);
        assert_eq!(see(&late, false).temporal, 1);
        assert_eq!(see(&delta(5, 1), true).temporal, 1);
    }

    #[test]
    fn unresolved_descriptor_gives_no_detail() {
        let mut inspector = Inspector::new(Codec::Av1);
        let info = inspector.inspect(&[0x10, 0x32, 1], Some(&delta(0, 7)), false, true);
        assert_eq!((info.keyframe, info.detail), (Keyframe::No, Detail::None));
    }

    #[test]
    fn frame_numbers_continue_and_template_ids_do_not_overlap_over_a_switch() {
        let mut first = Inspector::new(Codec::Av1);
        let mut second = Inspector::new(Codec::Av1);
        let mut rewriter = Rewriter::default();
        let mut data = key_l1t2(62, 100);
        let info = first.inspect(&[], Some(&data), false, true);
        rewriter.switch(&info);
        rewriter.rewrite(&info, &mut data);
        assert_eq!(data, key_l1t2(62, 100), "the first source keeps its numbers");

        let mut data = key_l1t2(9, 7000);
        let info = second.inspect(&[], Some(&data), false, true);
        rewriter.switch(&info);
        rewriter.rewrite(&info, &mut data);
        assert_eq!(data, key_l1t2(1, 101), "62, 63 and 0 are taken");
        let mut data = delta(11, 7005);
        let info = second.inspect(&[], Some(&data), false, true);
        rewriter.rewrite(&info, &mut data);
        assert_eq!(data, delta(3, 106), "dropped frames leave their gap");
    }
}
