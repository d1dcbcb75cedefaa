//! Walking a block of elements in either form.

use super::{ONE_BYTE_PROFILE, RESERVED_ID, TWO_BYTE_PROFILE, TWO_BYTE_PROFILE_MASK};
use crate::error::{Format, ParseError};

/// One extension of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// 1..=14 in the one-byte form, 1..=255 in the other.
    pub id: u8,
    /// 1..=16 bytes in the one-byte form, 0..=255 in the other.
    pub value: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    OneByte,
    TwoByte,
}

/// Iterator over the elements of a block; ends after an error.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    form: Form,
    block: &'a [u8],
    at: usize,
}

impl<'a> Elements<'a> {
    /// `block` is what follows the block's profile and length; one of an unknown profile counts
    /// as empty.
    pub(in crate::rtp) fn new(profile: u16, block: &'a [u8]) -> Self {
        let (form, block) = match profile {
            ONE_BYTE_PROFILE => (Form::OneByte, block),
            _ if profile & TWO_BYTE_PROFILE_MASK == TWO_BYTE_PROFILE => (Form::TwoByte, block),
            _ => (Form::OneByte, &block[..0]),
        };
        Self { form, block, at: 0 }
    }

    /// Offset in the block just behind the element returned last.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn end(&mut self) {
        self.at = self.block.len();
    }
}

impl<'a> Iterator for Elements<'a> {
    /// [`ParseError::Truncated`] if an element runs past its block.
    type Item = Result<Element<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        // A zero byte where an element would begin is padding, in either form.
        while *self.block.get(self.at)? == 0 {
            self.at += 1;
        }
        let first = self.block[self.at];
        let (id, head, len) = match self.form {
            Form::OneByte => {
                let id = first >> 4;
                if id == RESERVED_ID || id == 0 {
                    // Id 15, or padding that claims a length: RFC 8285, section 4.2, has us stop.
                    self.end();
                    return None;
                }
                (id, 1, usize::from(first & 0x0F) + 1)
            }
            Form::TwoByte => match self.block.get(self.at + 1) {
                Some(len) => (first, 2, usize::from(*len)),
                None => {
                    self.end();
                    return Some(Err(ParseError::Truncated(Format::RtpExtension)));
                }
            },
        };
        let start = self.at + head;
        let Some(value) = self.block.get(start..start + len) else {
            self.end();
            return Some(Err(ParseError::Truncated(Format::RtpExtension)));
        };
        self.at = start + len;
        Some(Ok(Element { id, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(profile: u16, block: &[u8]) -> (Vec<(u8, Vec<u8>)>, bool) {
        let mut found = Vec::new();
        for element in Elements::new(profile, block) {
            match element {
                Ok(element) => found.push((element.id, element.value.to_vec())),
                Err(_) => return (found, false),
            }
        }
        (found, true)
    }

    #[test]
    fn one_byte_elements_with_padding_between() {
        let block = [0x10, 0xAA, 0, 0, 0x21, 1, 2, 0];
        assert_eq!(walk(0xBEDE, &block), (vec![(1, vec![0xAA]), (2, vec![1, 2])], true));
    }

    #[test]
    fn two_byte_elements_with_empty_value_and_any_id() {
        let block = [1, 0, 0, 15, 1, 7, 255, 2, 8, 9];
        let want = vec![(1, vec![]), (15, vec![7]), (255, vec![8, 9])];
        assert_eq!(walk(0x1000, &block), (want.clone(), true));
        assert_eq!(walk(0x100F, &block), (want, true));
    }

    #[test]
    fn id_15_and_padding_with_a_length_end_a_one_byte_block() {
        assert_eq!(walk(0xBEDE, &[0x10, 1, 0xF0, 2, 0x20, 3]), (vec![(1, vec![1])], true));
        assert_eq!(walk(0xBEDE, &[0x10, 1, 0x01, 2, 0x20, 3]), (vec![(1, vec![1])], true));
    }

    #[test]
    fn element_past_the_block_is_an_error_after_what_came_before() {
        assert_eq!(walk(0xBEDE, &[0x10, 1, 0x23, 2]), (vec![(1, vec![1])], false));
        assert_eq!(walk(0x1000, &[1, 1, 9, 2]), (vec![(1, vec![9])], false));
        assert_eq!(walk(0x1000, &[1, 1, 9, 2, 2, 0]), (vec![(1, vec![9])], false));
    }

    #[test]
    fn unknown_profile_has_no_elements() {
        assert_eq!(walk(0x1234, &[0x10, 1, 0x10, 1]), (vec![], true));
    }

    #[test]
    fn a_block_of_255_elements_is_walked() {
        let block: Vec<u8> = (1..=255).flat_map(|id| [id, 1, id]).collect();
        assert_eq!(walk(0x1000, &block).0.len(), 255);
    }
}
