//! VP8 payload descriptor (RFC 7741, section 4.2).

use super::picture::{PictureId, PictureNumbers};
use super::{Keyframe, Malformed, Prefix};

const EXTENDED: u8 = 0x80;
const NON_REFERENCE: u8 = 0x20;
const PARTITION_START: u8 = 0x10;
const PARTITION_ID: u8 = 0x07;
const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0: u8 = 0x40;
const HAS_TID: u8 = 0x20;
const HAS_KEY: u8 = 0x10;

/// The fields in front of the VP8 data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    first: u8,
    flags: u8,
    /// TID, Y and KEYIDX; meaningful as far as `flags` says.
    layer: u8,
    tl0: u8,
    /// Bytes of the descriptor.
    pub len: u8,
    /// Picture id, if present.
    pub picture_id: Option<PictureId>,
    /// Whether the packet starts a keyframe.
    pub keyframe: Keyframe,
}

impl Descriptor {
    /// Reads the descriptor at the start of an RTP payload.
    ///
    /// # Errors
    /// It ends too early.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut at = 0;
        let mut byte = || {
            let byte = payload.get(at).copied().ok_or(Malformed);
            at += 1;
            byte
        };
        let first = byte()?;
        let flags = if first & EXTENDED == 0 { 0 } else { byte()? };
        let mut picture_id = None;
        if flags & HAS_PICTURE_ID != 0 {
            let (id, len) = PictureId::read(&payload[at.min(payload.len())..]).ok_or(Malformed)?;
            picture_id = Some(id);
            at += len;
        }
        let mut byte = |present: bool| {
            if !present {
                return Ok(0);
            }
            let byte = payload.get(at).copied().ok_or(Malformed);
            at += 1;
            byte
        };
        let tl0 = byte(flags & HAS_TL0 != 0)?;
        let layer = byte(flags & (HAS_TID | HAS_KEY) != 0)?;
        let keyframe = if first & PARTITION_START == 0 || first & PARTITION_ID != 0 {
            Keyframe::No
        } else {
            // The inverse keyframe bit of the frame tag (RFC 6386, section 9.1).
            match payload.get(at) {
                Some(tag) if tag & 1 == 0 => Keyframe::Yes,
                Some(_) => Keyframe::No,
                None => Keyframe::Unknown,
            }
        };
        Ok(Self { first, flags, layer, tl0, len: at as u8, picture_id, keyframe })
    }

    /// The packet starts a frame.
    #[must_use]
    pub fn starts_frame(&self) -> bool {
        self.first & PARTITION_START != 0 && self.first & PARTITION_ID == 0
    }

    /// No other frame refers to this one.
    #[must_use]
    pub fn is_non_reference(&self) -> bool {
        self.first & NON_REFERENCE != 0
    }

    /// Temporal layer, 0 when the encoder makes only one.
    #[must_use]
    pub fn temporal(&self) -> u8 {
        if self.flags & HAS_TID == 0 { 0 } else { self.layer >> 6 }
    }

    /// Layer sync: the frame refers to temporal layer 0 only.
    #[must_use]
    pub fn is_layer_sync(&self) -> bool {
        self.flags & HAS_TID != 0 && self.layer & 0x20 != 0
    }

    /// The counters, with the unwrapped `picture` id of this packet.
    #[must_use]
    pub fn numbers(&self, picture: Option<u64>) -> PictureNumbers {
        PictureNumbers {
            picture,
            tl0: (self.flags & HAS_TL0 != 0).then_some(self.tl0),
            key: (self.flags & HAS_KEY != 0).then_some(self.layer & 0x1f),
        }
    }

    /// This descriptor with other counters; the picture id always takes 15 bits.
    #[must_use]
    pub fn with_numbers(&self, numbers: PictureNumbers) -> Prefix {
        let mut prefix = Prefix::replacing(self.len);
        prefix.push(self.first);
        if self.first & EXTENDED != 0 {
            prefix.push(self.flags);
        }
        if let Some(picture) = numbers.picture {
            prefix.push_picture_id(picture);
        }
        if self.flags & HAS_TL0 != 0 {
            prefix.push(numbers.tl0.unwrap_or(self.tl0));
        }
        if self.flags & (HAS_TID | HAS_KEY) != 0 {
            prefix.push(self.layer & 0xe0 | numbers.key.unwrap_or(self.layer & 0x1f));
        }
        prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframe_without_extension() {
        let descriptor = Descriptor::parse(&[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a]).unwrap();
        assert_eq!(descriptor.keyframe, Keyframe::Yes);
        assert_eq!((descriptor.len, descriptor.temporal()), (1, 0));
        assert_eq!(descriptor.picture_id, None);
        assert!(descriptor.starts_frame());
    }

    #[test]
    fn delta_frame_with_everything() {
        // N, S, PID 0; I L T K; 15-bit id 0x1234; TL0 7; TID 2, Y, KEYIDX 9; frame tag P = 1.
        let payload = [0xb0, 0xf0, 0x92, 0x34, 7, 0xa9, 0x01];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.keyframe, Keyframe::No);
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x1234, long: true }));
        assert_eq!((descriptor.temporal(), descriptor.is_layer_sync()), (2, true));
        assert!(descriptor.is_non_reference());
        assert_eq!(descriptor.len, 6);
        let numbers = descriptor.numbers(Some(0x1234));
        assert_eq!((numbers.tl0, numbers.key), (Some(7), Some(9)));
        assert_eq!(descriptor.with_numbers(numbers).bytes(), &payload[..6]);
    }

    #[test]
    fn keyframes_behind_every_form_of_the_descriptor() {
        let rows: [(&str, &[u8]); 6] = [
            ("X = 0", &[0x10]),
            ("X = 1 and nothing in it", &[0x90, 0x00]),
            ("7-bit id", &[0x90, 0x80, 0x7f]),
            ("15-bit id", &[0x90, 0x80, 0xff, 0xff]),
            ("id and TL0, no TID", &[0x90, 0xc0, 0x80, 0x01, 7]),
            ("TID and KEYIDX without an id", &[0x90, 0x30, 0x1f]),
        ];
        for (name, descriptor) in rows {
            for (tag, expected) in [(0x10, Keyframe::Yes), (0x11, Keyframe::No)] {
                let payload = [descriptor, &[tag]].concat();
                assert_eq!(Descriptor::parse(&payload).unwrap().keyframe, expected, "{name}");
            }
            let bare = Descriptor::parse(descriptor).unwrap();
            assert_eq!(bare.keyframe, Keyframe::Unknown, "{name}");
            for len in 0..descriptor.len() {
                assert_eq!(Descriptor::parse(&descriptor[..len]), Err(Malformed), "{name}: {len}");
            }
        }
    }

    #[test]
    fn later_packets_of_a_keyframe_do_not_start_one() {
        for first in [0x00, 0x11, 0x01] {
            assert_eq!(Descriptor::parse(&[first, 0x10]).unwrap().keyframe, Keyframe::No);
        }
    }

    #[test]
    fn short_picture_id_grows_to_fifteen_bits() {
        let payload = [0x90, 0x80, 0x7f, 0x00];
        let descriptor = Descriptor::parse(&payload).unwrap();
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 127, long: false }));
        let prefix = descriptor.with_numbers(descriptor.numbers(Some(0x8000)));
        assert_eq!(prefix.bytes(), [0x90, 0x80, 0x80, 0x00]);
        assert_eq!(prefix.replaces(), 3);
    }

    #[test]
    fn truncated_at_each_length_is_an_error_or_unknown() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 7, 0xa9, 0x00];
        for len in 0..6 {
            assert_eq!(Descriptor::parse(&payload[..len]), Err(Malformed), "{len}");
        }
        assert_eq!(Descriptor::parse(&payload[..6]).unwrap().keyframe, Keyframe::Unknown);
        assert_eq!(Descriptor::parse(&payload).unwrap().keyframe, Keyframe::Yes);
    }
}
