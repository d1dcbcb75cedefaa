//! As much of the protobuf encoding as data messages need: fields in order, by reference, within bounds.
//!
//! Source: Protocol Buffers, "Encoding". Groups, which are obsolete, are refused.

use crate::error::{Format, ParseError};

const TRUNCATED: ParseError = ParseError::Truncated(Format::Envelope);
const BAD_VALUE: ParseError = ParseError::BadValue(Format::Envelope);

/// Bytes of the longest varint.
const MAX_VARINT_LEN: usize = 10;
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a kind that no field we read has.
    Fixed,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// The field as it came, its tag included.
    pub(super) whole: &'a [u8],
}

impl<'a> Field<'a> {
    /// # Errors
    /// It is no string, bytes or message.
    pub(super) fn bytes(&self) -> Result<&'a [u8], ParseError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(BAD_VALUE),
        }
    }

    /// # Errors
    /// It is no string, or too long.
    pub(super) fn text(&self, max_len: usize) -> Result<&'a str, ParseError> {
        let bytes = self.bytes()?;
        if bytes.len() > max_len {
            return Err(ParseError::BadLength(Format::Envelope));
        }
        std::str::from_utf8(bytes).map_err(|_| BAD_VALUE)
    }

    /// # Errors
    /// It is no integer.
    pub(super) fn number(&self) -> Result<u64, ParseError> {
        match self.value {
            Value::Number(number) => Ok(number),
            _ => Err(BAD_VALUE),
        }
    }
}

/// The fields of one message, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, ParseError> {
        let start = self.rest;
        let tag = take_varint(&mut self.rest)?;
        let number = u32::try_from(tag >> 3).map_err(|_| BAD_VALUE)?;
        if number == 0 {
            return Err(BAD_VALUE);
        }
        let value = match (tag & 7) as u8 {
            VARINT => Value::Number(take_varint(&mut self.rest)?),
            LENGTH_DELIMITED => {
                let len = usize::try_from(take_varint(&mut self.rest)?).map_err(|_| TRUNCATED)?;
                Value::Bytes(take(&mut self.rest, len)?)
            }
            FIXED64 => take(&mut self.rest, 8).map(|_| Value::Fixed)?,
            FIXED32 => take(&mut self.rest, 4).map(|_| Value::Fixed)?,
            _ => return Err(BAD_VALUE),
        };
        let whole = &start[..start.len() - self.rest.len()];
        Ok(Field { number, value, whole })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], ParseError> {
    let (taken, after) = rest.split_at_checked(len).ok_or(TRUNCATED)?;
    *rest = after;
    Ok(taken)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, ParseError> {
    let mut value = 0;
    for (index, byte) in rest.iter().take(MAX_VARINT_LEN).enumerate() {
        // The tenth byte holds one bit more than fits; like all readers we let it go.
        value |= u64::from(byte & 0x7F) << (7 * index).min(63);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Ok(value);
        }
    }
    Err(if rest.len() < MAX_VARINT_LEN { TRUNCATED } else { BAD_VALUE })
}

/// Appends an integer field; 0 is said by silence.
pub(super) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3 | u64::from(VARINT));
        put_varint(out, value);
    }
}

/// Appends a string, bytes or message field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | u64::from(LENGTH_DELIMITED));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string field; an empty one is said by silence.
pub(super) fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 & 0x7F | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, ParseError> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn every_kind_of_field_is_read_and_groups_are_not() {
        let bytes =
            b"\x08\x96\x01\x12\x02hi\x1d\x00\x00\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00\x00";
        let fields = all(bytes).unwrap();
        let numbers: Vec<u32> = fields.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(fields[0].number(), Ok(150));
        assert_eq!(fields[1].text(2), Ok("hi"));
        assert_eq!(fields[1].text(1), Err(ParseError::BadLength(Format::Envelope)));
        assert_eq!(fields[2].value, Value::Fixed);
        let copy: Vec<u8> = fields.iter().flat_map(|field| field.whole).copied().collect();
        assert_eq!(copy, bytes);
        for bad in [b"\x0b".as_slice(), b"\x0c", b"\x0e", b"\x00\x00"] {
            assert_eq!(all(bad), Err(BAD_VALUE));
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = b"\x08\x96\x01";
        for len in 1..bytes.len() {
            assert_eq!(all(&bytes[..len]), Err(TRUNCATED), "{len}");
        }
        assert_eq!(all(b"\x12\x05hi"), Err(TRUNCATED));
        assert_eq!(all(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Err(TRUNCATED));
        assert_eq!(all(&[0xFF; 20]), Err(BAD_VALUE));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>) {
            let _ = all(&bytes);
        }

        #[test]
        fn what_is_written_is_read(number in 1u32..1000, value: u64, text in ".{1,200}") {
            let mut bytes = vec![];
            put_number(&mut bytes, number, value);
            put_text(&mut bytes, number + 1, &text);
            let fields = all(&bytes).unwrap();
            let (last, rest) = fields.split_last().unwrap();
            prop_assert_eq!(last.text(1000), Ok(text.as_str()));
            prop_assert_eq!(rest.first().map(|field| field.number().unwrap()), (value != 0).then_some(value));
        }
    }
}
