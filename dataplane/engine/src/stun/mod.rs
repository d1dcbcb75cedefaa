//! STUN as ICE needs it: binding requests and their answers (RFC 8489, RFC 8445 section 7).
//!
//! [`Message::parse`] borrows from the datagram; the `write_*` functions fill a caller's buffer.
//! Neither keeps state: who may ask, and what is answered, is decided in the ICE agent.

mod parse;
mod write;

pub use parse::{Message, UnknownAttributes, looks_like_stun};
pub use write::{
    BindingRequest, MAX_MESSAGE_LEN, write_binding_error, write_binding_request,
    write_binding_success,
};

use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};

const HEADER_LEN: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
/// Distinguishes the CRC from that of other protocols on the port (RFC 8489, section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554E;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const INTEGRITY_LEN: usize = 20;
const SHA1_BLOCK_LEN: usize = 64;
const FINGERPRINT_LEN: usize = 4;
const FAMILY_IPV4: u8 = 1;
const FAMILY_IPV6: u8 = 2;

/// Method number of Binding, the only one ICE uses.
pub const METHOD_BINDING: u16 = 0x001;

/// Attribute numbers (RFC 8489 section 18.3, RFC 8445 section 16.1).
mod attribute {
    pub(super) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    pub(super) const REALM: u16 = 0x0014;
    pub(super) const NONCE: u16 = 0x0015;
    pub(super) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802A;
    /// draft-thatcher-ice-renomination, as libwebrtc sends it.
    pub(super) const NOMINATION: u16 = 0xC001;
}

/// Attributes below this number must be understood, or the request answered with 420.
const FIRST_OPTIONAL_ATTRIBUTE: u16 = 0x8000;

/// Echoed by the answer; unguessable, so that an answer proves that the request was seen.
pub type TransactionId = [u8; 12];

/// Two bits of the message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none (keepalive).
    Indication,
    /// Positive answer.
    Success,
    /// Negative answer, with an error code.
    Error,
}

/// Role and tie-breaker of the sender of a request (RFC 8445, section 7.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IceRole {
    /// The sender nominates.
    Controlling(u64),
    /// The sender waits for nomination.
    Controlled(u64),
}

/// The error codes that an ICE agent sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// A needed attribute is missing.
    BadRequest = 400,
    /// Integrity does not match.
    Unauthenticated = 401,
    /// A comprehension-required attribute is not known.
    UnknownAttribute = 420,
    /// Both agents claim the same role.
    RoleConflict = 487,
}

/// HMAC-SHA1 over `message[..end]`, with the length field as if the message ended after the
/// MESSAGE-INTEGRITY attribute that starts at `end` (RFC 8489, section 14.5).
fn integrity(message: &[u8], end: usize, key: &[u8]) -> Hmac<Sha1> {
    let length = (end + ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN - HEADER_LEN) as u16;
    // HMAC's rule for keys, spelled out because this constructor cannot fail (RFC 2104).
    let mut block = [0; SHA1_BLOCK_LEN];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..INTEGRITY_LEN].copy_from_slice(&Sha1::digest(key)),
    }
    let mut mac = Hmac::new(&block.into());
    mac.update(&message[..2]);
    mac.update(&length.to_be_bytes());
    mac.update(&message[4..end]);
    mac
}

/// FINGERPRINT over everything before that attribute (RFC 8489, section 14.7).
fn fingerprint(covered: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in covered {
        crc = CRC32_TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8);
    }
    !crc ^ FINGERPRINT_XOR
}

/// CRC-32 of ISO 3309 (reflected polynomial 0xEDB88320), one entry per byte.
static CRC32_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
