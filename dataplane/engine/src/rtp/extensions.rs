//! Header extensions (RFC 8285): which there are, which id each has on a transport, their values.

mod elements;
mod kind;
mod values;

pub use elements::{Element, Elements};
pub use kind::{ExtensionKind, ExtensionMap};
pub use values::{AbsCaptureTime, AudioLevel, ExtensionSpans, PlayoutDelay, ShortName};

/// Profile of a block of one-byte elements.
pub(super) const ONE_BYTE_PROFILE: u16 = 0xBEDE;
/// Profile of a block of two-byte elements; its low four bits are free for applications.
pub(super) const TWO_BYTE_PROFILE: u16 = 0x1000;
pub(super) const TWO_BYTE_PROFILE_MASK: u16 = 0xFFF0;
/// Id that ends a one-byte block.
pub(super) const RESERVED_ID: u8 = 15;
/// Largest id and value length that the one-byte form can carry.
pub(super) const MAX_ONE_BYTE_ID: u8 = 14;
pub(super) const MAX_ONE_BYTE_LEN: usize = 16;
