//! Writing: fixed-size messages into a caller's buffer.

use std::net::{IpAddr, SocketAddr};

use hmac::Mac;

use super::{
    ATTRIBUTE_HEADER_LEN, Class, ErrorCode, FAMILY_IPV4, FAMILY_IPV6, FINGERPRINT_LEN, HEADER_LEN,
    INTEGRITY_LEN, IceRole, MAGIC_COOKIE, METHOD_BINDING, TransactionId, attribute, fingerprint,
    integrity,
};

/// A buffer of this size takes every message written here with a USERNAME of up to 512 bytes.
pub const MAX_MESSAGE_LEN: usize = 640;

/// What a connectivity check says (RFC 8445, section 7.2.2).
#[derive(Debug, Clone, Copy)]
pub struct BindingRequest<'a> {
    /// Fresh and random for each check.
    pub transaction_id: TransactionId,
    /// `receiver's ufrag:sender's ufrag`.
    pub username: &'a str,
    /// Priority of the peer-reflexive candidate this check may create.
    pub priority: u32,
    /// Our role and tie-breaker.
    pub role: IceRole,
    /// Nominate this pair.
    pub use_candidate: bool,
    /// Renomination draft; None leaves the attribute out.
    pub nomination: Option<u32>,
}

/// Writes a check signed with the receiver's password `key`.
///
/// Returns the length, or None if `out` is too small (see [`MAX_MESSAGE_LEN`]).
pub fn write_binding_request(
    out: &mut [u8],
    request: &BindingRequest<'_>,
    key: &[u8],
) -> Option<usize> {
    let mut writer = Writer::new(out, Class::Request, &request.transaction_id)?;
    writer.attribute(attribute::USERNAME, &[request.username.as_bytes()])?;
    writer.attribute(attribute::PRIORITY, &[&request.priority.to_be_bytes()])?;
    let (role, tie_breaker) = match request.role {
        IceRole::Controlling(tie_breaker) => (attribute::ICE_CONTROLLING, tie_breaker),
        IceRole::Controlled(tie_breaker) => (attribute::ICE_CONTROLLED, tie_breaker),
    };
    writer.attribute(role, &[&tie_breaker.to_be_bytes()])?;
    if request.use_candidate {
        writer.attribute(attribute::USE_CANDIDATE, &[])?;
    }
    if let Some(nomination) = request.nomination {
        writer.attribute(attribute::NOMINATION, &[&nomination.to_be_bytes()])?;
    }
    writer.finish(Some(key))
}

/// Writes the positive answer to a check: `mapped` is where the check came from, `key` the
/// password that the check was signed with.
///
/// Returns the length (64 or 76 bytes, less than any check worth answering), or None if `out` is
/// too small.
pub fn write_binding_success(
    out: &mut [u8],
    transaction_id: &TransactionId,
    mapped: SocketAddr,
    key: &[u8],
) -> Option<usize> {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE);
    mask[4..].copy_from_slice(transaction_id);
    let mut masked = [0; 16];
    // A v4 address that came through a v6 socket is a v4 address to the peer.
    let (family, len) = match mapped.ip().to_canonical() {
        IpAddr::V4(ip) => {
            masked[..4].copy_from_slice(&ip.octets());
            (FAMILY_IPV4, 4)
        }
        IpAddr::V6(ip) => {
            masked.copy_from_slice(&ip.octets());
            (FAMILY_IPV6, 16)
        }
    };
    masked.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    let port = mapped.port().to_be_bytes();
    let head = [0, family, port[0] ^ mask[0], port[1] ^ mask[1]];

    let mut writer = Writer::new(out, Class::Success, transaction_id)?;
    writer.attribute(attribute::XOR_MAPPED_ADDRESS, &[&head, &masked[..len]])?;
    writer.finish(Some(key))
}

/// Writes an error answer without reason phrase, so that it stays smaller than what it answers.
///
/// `unknown` lists the attributes for [`ErrorCode::UnknownAttribute`] and is empty otherwise.
/// `key` is None where the request could not be authenticated (400, 401).
/// Returns the length (36 bytes without key and list), or None if `out` is too small.
pub fn write_binding_error(
    out: &mut [u8],
    transaction_id: &TransactionId,
    code: ErrorCode,
    unknown: &[u16],
    key: Option<&[u8]>,
) -> Option<usize> {
    let number = code as u16;
    let value = [0, 0, (number / 100) as u8, (number % 100) as u8];
    let mut writer = Writer::new(out, Class::Error, transaction_id)?;
    writer.attribute(attribute::ERROR_CODE, &[&value])?;
    if !unknown.is_empty() {
        writer.attribute_head(attribute::UNKNOWN_ATTRIBUTES, unknown.len() * 2)?;
        for number in unknown {
            writer.bytes(&number.to_be_bytes())?;
        }
        writer.pad()?;
    }
    writer.finish(key)
}

struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8], class: Class, transaction_id: &TransactionId) -> Option<Self> {
        let class_bits = match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let mut writer = Self { out, len: 0 };
        writer.bytes(&u16::to_be_bytes(class_bits | METHOD_BINDING))?;
        writer.bytes(&[0, 0])?;
        writer.bytes(&MAGIC_COOKIE)?;
        writer.bytes(transaction_id)?;
        Some(writer)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    fn attribute_head(&mut self, number: u16, len: usize) -> Option<()> {
        self.bytes(&number.to_be_bytes())?;
        self.bytes(&u16::try_from(len).ok()?.to_be_bytes())
    }

    fn pad(&mut self) -> Option<()> {
        self.bytes(&[0; 3][..self.len.next_multiple_of(4) - self.len])
    }

    fn attribute(&mut self, number: u16, parts: &[&[u8]]) -> Option<()> {
        self.attribute_head(number, parts.iter().map(|part| part.len()).sum())?;
        for part in parts {
            self.bytes(part)?;
        }
        self.pad()
    }

    /// Signs, seals, and fixes the length field, which FINGERPRINT covers.
    fn finish(mut self, key: Option<&[u8]>) -> Option<usize> {
        let integrity_len = key.map_or(0, |_| ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN);
        let total = self.len + integrity_len + ATTRIBUTE_HEADER_LEN + FINGERPRINT_LEN;
        let length = u16::try_from(total - HEADER_LEN).ok()?;
        self.out[2..4].copy_from_slice(&length.to_be_bytes());
        if let Some(key) = key {
            let tag = integrity(self.out, self.len, key).finalize().into_bytes();
            self.attribute(attribute::MESSAGE_INTEGRITY, &[&tag])?;
        }
        let crc = fingerprint(&self.out[..self.len]);
        self.attribute(attribute::FINGERPRINT, &[&crc.to_be_bytes()])?;
        Some(self.len)
    }
}
