//! Reading: one pass over the attributes, nothing copied but numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hmac::Mac;

use super::{
    ATTRIBUTE_HEADER_LEN, Class, FAMILY_IPV4, FAMILY_IPV6, FINGERPRINT_LEN,
    FIRST_OPTIONAL_ATTRIBUTE, HEADER_LEN, INTEGRITY_LEN, IceRole, MAGIC_COOKIE, METHOD_BINDING,
    TransactionId, attribute, fingerprint, integrity,
};
use crate::error::{Format, ParseError};

/// RFC 5389 section 15.3: fewer than 513 bytes.
const MAX_USERNAME_LEN: usize = 512;
/// An answer names at most this many unknown attributes; more are only counted as present.
const MAX_UNKNOWN: usize = 8;

const TRUNCATED: ParseError = ParseError::Truncated(Format::Stun);
const BAD_LENGTH: ParseError = ParseError::BadLength(Format::Stun);
const BAD_VALUE: ParseError = ParseError::BadValue(Format::Stun);

/// Cheap test for demultiplexing: header length and magic cookie.
#[must_use]
pub fn looks_like_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_LEN && datagram[0] < 4 && datagram[4..8] == MAGIC_COOKIE
}

/// Comprehension-required attributes that we do not know, for the answer 420.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnknownAttributes {
    types: [u16; MAX_UNKNOWN],
    len: usize,
}

impl UnknownAttributes {
    /// Their numbers, the first few.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.types[..self.len]
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn push(&mut self, number: u16) {
        if let Some(slot) = self.types.get_mut(self.len) {
            *slot = number;
            self.len += 1;
        }
    }
}

/// One STUN message, borrowed from its datagram.
///
/// Of an attribute that comes twice the first counts (RFC 8489, section 14). What follows
/// MESSAGE-INTEGRITY is ignored, but for FINGERPRINT: it is not authenticated.
/// Nothing here is authenticated until [`Message::integrity_matches`] said so.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    raw: &'a [u8],
    class: Class,
    method: u16,
    username: Option<&'a str>,
    integrity_at: Option<usize>,
    fingerprint_at: Option<usize>,
    xor_mapped_address: Option<SocketAddr>,
    priority: Option<u32>,
    use_candidate: bool,
    nomination: Option<u32>,
    role: Option<IceRole>,
    error_code: Option<u16>,
    unknown: UnknownAttributes,
}

impl<'a> Message<'a> {
    /// Reads header and attributes of a datagram that is exactly one message.
    ///
    /// # Errors
    /// [`ParseError`] with [`Format::Stun`] for anything that is not well-formed: a length field
    /// that does not match the datagram, an attribute past the end or of the wrong size, a
    /// USERNAME over 512 bytes or not UTF-8, anything behind FINGERPRINT.
    pub fn parse(raw: &'a [u8]) -> Result<Self, ParseError> {
        if raw.len() < HEADER_LEN {
            return Err(TRUNCATED);
        }
        if !looks_like_stun(raw) {
            return Err(ParseError::WrongKind(Format::Stun));
        }
        let length = usize::from(be16(&raw[2..4]));
        if !length.is_multiple_of(4) || length != raw.len() - HEADER_LEN {
            return Err(BAD_LENGTH);
        }
        let kind = be16(&raw[..2]);
        let class = match (kind >> 7 & 0b10) | (kind >> 4 & 0b01) {
            0b00 => Class::Request,
            0b01 => Class::Indication,
            0b10 => Class::Success,
            _ => Class::Error,
        };
        let method = (kind & 0x000F) | (kind >> 1 & 0x0070) | (kind >> 2 & 0x0F80);
        let mut message = Self {
            raw,
            class,
            method,
            username: None,
            integrity_at: None,
            fingerprint_at: None,
            xor_mapped_address: None,
            priority: None,
            use_candidate: false,
            nomination: None,
            role: None,
            error_code: None,
            unknown: UnknownAttributes::default(),
        };
        let mut at = HEADER_LEN;
        while at < raw.len() {
            at = message.parse_attribute(at)?;
        }
        Ok(message)
    }

    /// Takes the attribute at offset `at`; returns where the next begins.
    fn parse_attribute(&mut self, at: usize) -> Result<usize, ParseError> {
        if self.fingerprint_at.is_some() {
            return Err(BAD_LENGTH);
        }
        // The total is a multiple of four, so the attribute's own header is there.
        let header = self.raw.get(at..at + ATTRIBUTE_HEADER_LEN).ok_or(TRUNCATED)?;
        let number = be16(header);
        let len = usize::from(be16(&header[2..]));
        let start = at + ATTRIBUTE_HEADER_LEN;
        let value = self.raw.get(start..start + len).ok_or(TRUNCATED)?;
        let next = start + len.next_multiple_of(4);

        if number == attribute::FINGERPRINT {
            expect_len(value, FINGERPRINT_LEN)?;
            self.fingerprint_at = Some(at);
        } else if self.integrity_at.is_none() {
            self.take(number, value, at)?;
        }
        Ok(next)
    }

    fn take(&mut self, number: u16, value: &'a [u8], at: usize) -> Result<(), ParseError> {
        match number {
            attribute::USERNAME => {
                if value.len() > MAX_USERNAME_LEN {
                    return Err(BAD_LENGTH);
                }
                let name = std::str::from_utf8(value).map_err(|_| BAD_VALUE)?;
                self.username.get_or_insert(name);
            }
            attribute::MESSAGE_INTEGRITY => {
                expect_len(value, INTEGRITY_LEN)?;
                self.integrity_at = Some(at);
            }
            attribute::ERROR_CODE => {
                let &[_, _, hundreds, number, ..] = value else { return Err(BAD_LENGTH) };
                if !(3..=6).contains(&(hundreds & 7)) || number > 99 {
                    return Err(BAD_VALUE);
                }
                let code = u16::from(hundreds & 7) * 100 + u16::from(number);
                self.error_code.get_or_insert(code);
            }
            attribute::XOR_MAPPED_ADDRESS => {
                let address = xor_address(value, &self.raw[4..HEADER_LEN])?;
                self.xor_mapped_address.get_or_insert(address);
            }
            attribute::PRIORITY => {
                self.priority.get_or_insert(u32::from_be_bytes(exactly(value)?));
            }
            attribute::USE_CANDIDATE => {
                expect_len(value, 0)?;
                self.use_candidate = true;
            }
            attribute::NOMINATION => {
                self.nomination.get_or_insert(u32::from_be_bytes(exactly(value)?));
            }
            attribute::ICE_CONTROLLED => {
                let tie_breaker = u64::from_be_bytes(exactly(value)?);
                self.role.get_or_insert(IceRole::Controlled(tie_breaker));
            }
            attribute::ICE_CONTROLLING => {
                let tie_breaker = u64::from_be_bytes(exactly(value)?);
                self.role.get_or_insert(IceRole::Controlling(tie_breaker));
            }
            // Known, and of no use to ICE.
            attribute::MAPPED_ADDRESS
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::REALM
            | attribute::NONCE
            | attribute::MESSAGE_INTEGRITY_SHA256
            | FIRST_OPTIONAL_ATTRIBUTE.. => {}
            _ => self.unknown.push(number),
        }
        Ok(())
    }

    /// Request, indication or kind of answer.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Method number; compare with [`METHOD_BINDING`].
    #[must_use]
    pub fn method(&self) -> u16 {
        self.method
    }

    /// Whether this is a binding message of that class.
    #[must_use]
    pub fn is_binding(&self, class: Class) -> bool {
        self.method == METHOD_BINDING && self.class == class
    }

    /// To be echoed in the answer.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.raw[8..HEADER_LEN]);
        id
    }

    /// USERNAME as sent.
    #[must_use]
    pub fn username(&self) -> Option<&'a str> {
        self.username
    }

    /// USERNAME of a check, split at the first colon: (receiver's ufrag, sender's ufrag).
    #[must_use]
    pub fn ufrags(&self) -> Option<(&'a str, &'a str)> {
        self.username.and_then(|name| name.split_once(':'))
    }

    /// How the answering side saw our address.
    #[must_use]
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.xor_mapped_address
    }

    /// Priority that a peer-reflexive candidate from this check would have.
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// Whether the controlling side nominates this pair.
    #[must_use]
    pub fn use_candidate(&self) -> bool {
        self.use_candidate
    }

    /// Value of the renomination draft; of two, the greater wins.
    #[must_use]
    pub fn nomination(&self) -> Option<u32> {
        self.nomination
    }

    /// The sender's role and tie-breaker.
    #[must_use]
    pub fn role(&self) -> Option<IceRole> {
        self.role
    }

    /// Error code of an error answer, 300..=699.
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        self.error_code
    }

    /// Attributes for which a request must be answered with 420.
    #[must_use]
    pub fn unknown_attributes(&self) -> &UnknownAttributes {
        &self.unknown
    }

    /// Whether MESSAGE-INTEGRITY is there at all.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and made with `key` (in ICE the password of the side
    /// that received the request). Compared in constant time.
    #[must_use]
    pub fn integrity_matches(&self, key: &[u8]) -> bool {
        self.integrity_at.is_some_and(|at| {
            let start = at + ATTRIBUTE_HEADER_LEN;
            let sent = &self.raw[start..start + INTEGRITY_LEN];
            integrity(self.raw, at, key).verify_slice(sent).is_ok()
        })
    }

    /// Whether FINGERPRINT is there and right. ICE requires it on every message.
    #[must_use]
    pub fn fingerprint_matches(&self) -> bool {
        self.fingerprint_at.is_some_and(|at| {
            let start = at + ATTRIBUTE_HEADER_LEN;
            let sent = &self.raw[start..start + FINGERPRINT_LEN];
            sent == fingerprint(&self.raw[..at]).to_be_bytes()
        })
    }
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], ParseError> {
    value.try_into().map_err(|_| BAD_LENGTH)
}

fn expect_len(value: &[u8], len: usize) -> Result<(), ParseError> {
    if value.len() == len { Ok(()) } else { Err(BAD_LENGTH) }
}

/// RFC 8489, section 14.2. `mask` is magic cookie and transaction id.
fn xor_address(value: &[u8], mask: &[u8]) -> Result<SocketAddr, ParseError> {
    let &[_, family, port_high, port_low, ref address @ ..] = value else {
        return Err(BAD_LENGTH);
    };
    let port = u16::from_be_bytes([port_high ^ mask[0], port_low ^ mask[1]]);
    let ip = match family {
        FAMILY_IPV4 => IpAddr::V4(Ipv4Addr::from(unmask::<4>(address, mask)?)),
        FAMILY_IPV6 => IpAddr::V6(Ipv6Addr::from(unmask::<16>(address, mask)?)),
        _ => return Err(BAD_VALUE),
    };
    Ok(SocketAddr::new(ip, port))
}

fn unmask<const N: usize>(address: &[u8], mask: &[u8]) -> Result<[u8; N], ParseError> {
    let mut bytes: [u8; N] = exactly(address)?;
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    Ok(bytes)
}
