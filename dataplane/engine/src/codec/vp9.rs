//! VP9 payload descriptor (RFC 9628, section 4.2).

use super::picture::{PictureId, PictureNumbers};
use super::{Keyframe, Malformed, Prefix};

const HAS_PICTURE_ID: u8 = 0x80;
const INTER_PICTURE: u8 = 0x40;
const HAS_LAYER: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGINS_FRAME: u8 = 0x08;
const ENDS_FRAME: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
const NOT_FOR_UPPER: u8 = 0x01;
/// References of one picture in flexible mode (RFC 9628, section 4.2).
const MAX_REFERENCES: usize = 3;

/// The fields in front of the VP9 data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    first: u8,
    layer: u8,
    tl0: u8,
    /// Bytes of the descriptor.
    pub len: u8,
    /// Bytes before the first that never changes.
    head_len: u8,
    /// Spatial layers that the attached scalability structure announces.
    pub structure_layers: Option<u8>,
    /// Picture id, if present.
    pub picture_id: Option<PictureId>,
    /// How many pictures back each reference lies; 0 for none.
    references: [u8; MAX_REFERENCES],
}

impl Descriptor {
    /// Reads the descriptor at the start of an RTP payload.
    ///
    /// # Errors
    /// It ends too early, or names more than three references.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let byte = |at: usize| payload.get(at).copied().ok_or(Malformed);
        let first = byte(0)?;
        let mut at = 1;
        let mut picture_id = None;
        if first & HAS_PICTURE_ID != 0 {
            let (id, len) = PictureId::read(&payload[at..]).ok_or(Malformed)?;
            picture_id = Some(id);
            at += len;
        }
        let (mut layer, mut tl0) = (0, 0);
        if first & HAS_LAYER != 0 {
            layer = byte(at)?;
            at += 1;
            if first & FLEXIBLE == 0 {
                tl0 = byte(at)?;
                at += 1;
            }
        }
        let head_len = at as u8;
        let mut references = [0; MAX_REFERENCES];
        if first & FLEXIBLE != 0 && first & INTER_PICTURE != 0 {
            let mut more = true;
            for place in &mut references {
                if more {
                    let reference = byte(at)?;
                    at += 1;
                    *place = reference >> 1;
                    more = reference & 1 == 1;
                }
            }
            if more {
                return Err(Malformed);
            }
        }
        let mut structure_layers = None;
        if first & HAS_STRUCTURE != 0 {
            let structure = byte(at)?;
            at += 1;
            let layers = (structure >> 5) + 1;
            structure_layers = Some(layers);
            if structure & 0x10 != 0 {
                at += 4 * usize::from(layers);
            }
            if structure & 0x08 != 0 {
                let pictures = byte(at)?;
                at += 1;
                for _ in 0..pictures {
                    at += 1 + usize::from(byte(at)? >> 2 & 3);
                }
            }
            if at > payload.len() {
                return Err(Malformed);
            }
        }
        // One byte holds the length: a structure of 255 pictures fills most of a packet and is
        // sent by nobody.
        let len = u8::try_from(at).map_err(|_| Malformed)?;
        Ok(Self { first, layer, tl0, len, head_len, structure_layers, picture_id, references })
    }

    /// Whether the packet starts a key picture, told by the descriptor alone: encrypted frames
    /// show no more.
    #[must_use]
    pub fn keyframe(&self) -> Keyframe {
        let starts = self.first & INTER_PICTURE == 0 && self.begins_frame() && self.spatial() == 0;
        if starts { Keyframe::Yes } else { Keyframe::No }
    }

    /// The packet starts a layer frame.
    #[must_use]
    pub fn begins_frame(&self) -> bool {
        self.first & BEGINS_FRAME != 0
    }

    /// The packet ends a layer frame.
    #[must_use]
    pub fn ends_frame(&self) -> bool {
        self.first & ENDS_FRAME != 0
    }

    /// The picture refers to earlier pictures.
    #[must_use]
    pub fn is_inter_picture(&self) -> bool {
        self.first & INTER_PICTURE != 0
    }

    /// The frame is not used by upper spatial layers.
    #[must_use]
    pub fn is_unused_by_upper(&self) -> bool {
        self.first & NOT_FOR_UPPER != 0
    }

    /// Temporal layer.
    #[must_use]
    pub fn temporal(&self) -> u8 {
        self.layer >> 5
    }

    /// Switching up point: later frames of this temporal layer need no earlier frame of it.
    #[must_use]
    pub fn is_switching_up_point(&self) -> bool {
        self.layer & 0x10 != 0
    }

    /// Spatial layer.
    #[must_use]
    pub fn spatial(&self) -> u8 {
        self.layer >> 1 & 7
    }

    /// The frame uses the spatial layer below.
    #[must_use]
    pub fn is_inter_layer(&self) -> bool {
        self.layer & 1 != 0
    }

    /// References are listed, and there is no TL0PICIDX.
    #[must_use]
    pub fn is_flexible(&self) -> bool {
        self.first & FLEXIBLE != 0
    }

    /// In flexible mode: how many pictures back the references lie, in the same spatial layer.
    pub fn references(&self) -> impl Iterator<Item = u8> {
        self.references.into_iter().filter(|distance| *distance > 0)
    }

    /// The counters, with the unwrapped `picture` id of this packet.
    #[must_use]
    pub fn numbers(&self, picture: Option<u64>) -> PictureNumbers {
        PictureNumbers { picture, tl0: self.has_tl0().then_some(self.tl0), key: None }
    }

    /// This descriptor with other counters; the picture id always takes 15 bits.
    #[must_use]
    pub fn with_numbers(&self, numbers: PictureNumbers) -> Prefix {
        let mut prefix = Prefix::replacing(self.head_len);
        prefix.push(self.first);
        if let Some(picture) = numbers.picture {
            prefix.push_picture_id(picture);
        }
        if self.first & HAS_LAYER != 0 {
            prefix.push(self.layer);
        }
        if self.has_tl0() {
            prefix.push(numbers.tl0.unwrap_or(self.tl0));
        }
        prefix
    }

    fn has_tl0(&self) -> bool {
        self.first & HAS_LAYER != 0 && self.first & FLEXIBLE == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_picture_in_non_flexible_mode_with_structure() {
        // I L B E V; 15-bit id 5; TID 0 SID 0; TL0 9; SS: 2 layers, Y, G; 2 x 4 bytes; 1 picture.
        let mut payload = vec![0xae, 0x80, 5, 0x00, 9, 0x38];
        payload.extend([1, 64, 0, 180, 2, 128, 1, 104, 1, 0x04, 1]);
        let len = payload.len();
        payload.push(0x82);
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.keyframe(), Keyframe::Yes);
        assert_eq!(usize::from(descriptor.len), len);
        assert_eq!(descriptor.structure_layers, Some(2));
        assert_eq!(descriptor.numbers(Some(5)).tl0, Some(9));
        assert!(descriptor.ends_frame());
        for short in 0..len {
            assert_eq!(Descriptor::parse(&payload[..short]), Err(Malformed), "{short}");
        }
    }

    #[test]
    fn upper_spatial_layer_of_a_key_picture_starts_nothing() {
        // L B; TID 0, SID 1, D; TL0.
        let descriptor = Descriptor::parse(&[0x28, 0x03, 1]).unwrap();
        assert_eq!(descriptor.keyframe(), Keyframe::No);
        assert_eq!((descriptor.spatial(), descriptor.is_inter_layer()), (1, true));
    }

    #[test]
    fn flexible_mode_lists_references_and_has_no_tl0() {
        // I P L F B; 7-bit id 3; TID 1 U SID 0; two references.
        let payload = [0xf8, 3, 0x30, 0x03, 0x04, 0xaa];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.keyframe(), Keyframe::No);
        assert_eq!((descriptor.len, descriptor.temporal()), (5, 1));
        assert!(descriptor.is_switching_up_point() && descriptor.is_flexible());
        assert_eq!(descriptor.references().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(descriptor.numbers(None).tl0, None);
        assert_eq!(
            Descriptor::parse(&[0xf8, 3, 0x30, 0x03, 0x03, 0x03, 0x02]),
            Err(Malformed),
            "four references"
        );
        let prefix = descriptor.with_numbers(descriptor.numbers(Some(3)));
        assert_eq!(prefix.bytes(), [0xf8, 0x80, 3, 0x30]);
        assert_eq!(prefix.replaces(), 3);
    }

    /// (first byte, rest of the descriptor): I P L F B E V Z. The profile stands in the frame, and does
    /// not matter here.
    #[test]
    fn keyframes_of_every_mode_and_profile() {
        let rows: [(&str, &[u8], Keyframe); 8] = [
            ("non-flexible, lowest layer", &[0xa8, 5, 0x00, 9], Keyframe::Yes),
            ("non-flexible, delta", &[0xe8, 5, 0x00, 9], Keyframe::No),
            ("flexible", &[0xb8, 5, 0x00], Keyframe::Yes),
            ("flexible, delta", &[0xf8, 5, 0x00, 0x02], Keyframe::No),
            ("k-SVC: a delta of an upper layer", &[0xe8, 5, 0x02, 9], Keyframe::No),
            ("k-SVC: an upper layer of the keyframe", &[0xa8, 5, 0x03, 9], Keyframe::No),
            ("not the frame's first packet", &[0xa0, 5, 0x00, 9], Keyframe::No),
            ("its last packet", &[0xa4, 5, 0x00, 9], Keyframe::No),
        ];
        for (name, descriptor, expected) in rows {
            for profile in 0..4u8 {
                // Frame marker 2, profile bits low and high.
                let header = 0x80 | (profile & 1) << 5 | (profile >> 1) << 4;
                let payload = [descriptor, &[header, 0x49, 0x83, 0x42]].concat();
                let parsed = Descriptor::parse(&payload).unwrap();
                assert_eq!(parsed.keyframe(), expected, "{name}, profile {profile}");
            }
            for len in 0..descriptor.len() {
                assert_eq!(Descriptor::parse(&descriptor[..len]), Err(Malformed), "{name}: {len}");
            }
        }
    }

    #[test]
    fn single_layer_without_picture_id() {
        assert_eq!(Descriptor::parse(&[0x08, 0x82]).unwrap().keyframe(), Keyframe::Yes);
        assert_eq!(Descriptor::parse(&[0x48, 0x82]).unwrap().keyframe(), Keyframe::No);
        assert_eq!(Descriptor::parse(&[]), Err(Malformed));
    }
}
