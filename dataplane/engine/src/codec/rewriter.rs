//! The codec fields of one subscriber's copy: what replaces the start of each payload.

use super::picture::{PictureNumbers, PictureRewriter};
use super::{Detail, FrameInfo};

/// Longest head written: the VP8 descriptor.
const MAX_PREFIX: usize = 8;

/// New first bytes of a payload. The outgoing payload is `bytes()`, then the source payload from
/// byte `replaces()` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prefix {
    bytes: [u8; MAX_PREFIX],
    len: u8,
    replaces: u8,
}

impl Prefix {
    pub(crate) fn replacing(replaces: u8) -> Self {
        Self { replaces, ..Self::default() }
    }

    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Always with 15 bits, whatever the source's width.
    pub(crate) fn push_picture_id(&mut self, picture: u64) {
        let [high, low] = (picture as u16).to_be_bytes();
        self.push(high | 0x80);
        self.push(low);
    }

    /// What to write first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many source bytes it stands for.
    #[must_use]
    pub fn replaces(&self) -> usize {
        self.replaces.into()
    }
}

/// Keeps VP8 and VP9 counters continuous for one subscription. Other codecs pass unchanged.
///
/// Goes hand in hand with [`crate::seq_map::SeqMap`]: same calls, same moments.
#[derive(Clone, Debug, Default)]
pub struct PayloadRewriter {
    pictures: PictureRewriter,
}

impl PayloadRewriter {
    /// Forwarding of a source starts at this packet, the first of a keyframe.
    pub fn switch(&mut self, info: &FrameInfo) -> Prefix {
        let Some(numbers) = numbers(info) else { return Prefix::default() };
        let numbers = self.pictures.switch(numbers);
        prefix(info, numbers)
    }

    /// A packet is forwarded, new or late. None: drop it, its picture has no place any more.
    pub fn map(&mut self, info: &FrameInfo) -> Option<Prefix> {
        let Some(numbers) = numbers(info) else { return Some(Prefix::default()) };
        Some(prefix(info, self.pictures.map(numbers)?))
    }

    /// A packet is left out with its whole picture (an unwanted temporal layer).
    pub fn exclude(&mut self, info: &FrameInfo) {
        // VP9 receivers know from the descriptor which pictures they need; gaps do not matter.
        if let (Detail::Vp8 { .. }, Some(numbers)) = (&info.detail, numbers(info)) {
            self.pictures.exclude(numbers);
        }
    }

    /// A packet is sent again. None: it never was sent, or its picture is forgotten.
    #[must_use]
    pub fn get(&self, info: &FrameInfo) -> Option<Prefix> {
        let Some(numbers) = numbers(info) else { return Some(Prefix::default()) };
        Some(prefix(info, self.pictures.get(numbers)?))
    }
}

fn numbers(info: &FrameInfo) -> Option<PictureNumbers> {
    match &info.detail {
        Detail::Vp8 { descriptor, picture } => Some(descriptor.numbers(*picture)),
        Detail::Vp9 { descriptor, picture } => Some(descriptor.numbers(*picture)),
        Detail::Dependency { .. } | Detail::None => None,
    }
}

fn prefix(info: &FrameInfo, numbers: PictureNumbers) -> Prefix {
    match &info.detail {
        Detail::Vp8 { descriptor, .. } => descriptor.with_numbers(numbers),
        Detail::Vp9 { descriptor, .. } => descriptor.with_numbers(numbers),
        Detail::Dependency { .. } | Detail::None => Prefix::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Codec, Inspector};
    use super::*;

    fn rewritten(prefix: Prefix, payload: &[u8]) -> Vec<u8> {
        [prefix.bytes(), &payload[prefix.replaces()..]].concat()
    }

    #[test]
    fn first_source_keeps_its_bytes() {
        let mut inspector = Inspector::new(Codec::Vp8);
        let mut rewriter = PayloadRewriter::default();
        let key = [0x90, 0xf0, 0x92, 0x34, 7, 0xa9, 0x00, 1, 2];
        let info = inspector.inspect(&key, None, false, true);
        assert_eq!(rewritten(rewriter.switch(&info), &key), key);
        assert_eq!(rewriter.get(&info).map(|prefix| rewritten(prefix, &key)), Some(key.to_vec()));
    }

    #[test]
    fn switch_from_a_short_to_a_long_picture_id_and_back() {
        let short = [0x90, 0x80, 0x7f, 0x00];
        let long = [0x90, 0x80, 0x92, 0x34, 0x00];
        let mut rewriter = PayloadRewriter::default();
        let mut first = Inspector::new(Codec::Vp8);
        let info = first.inspect(&short, None, true, true);
        assert_eq!(rewritten(rewriter.switch(&info), &short), [0x90, 0x80, 0x80, 0x7f, 0x00]);
        let mut second = Inspector::new(Codec::Vp8);
        let info = second.inspect(&long, None, true, true);
        assert_eq!(rewritten(rewriter.switch(&info), &long), [0x90, 0x80, 0x80, 0x80, 0x00]);
        let short = [0x90, 0x80, 0x00, 0x00];
        let info = first.inspect(&short, None, true, true);
        assert_eq!(rewritten(rewriter.switch(&info), &short), [0x90, 0x80, 0x80, 0x81, 0x00]);
    }

    #[test]
    fn other_codecs_pass() {
        let info = Inspector::new(Codec::H264).inspect(&[0x67, 1, 2], None, false, true);
        let mut rewriter = PayloadRewriter::default();
        assert_eq!(rewriter.switch(&info), Prefix::default());
        assert_eq!(rewriter.map(&info), Some(Prefix::default()));
    }
}
