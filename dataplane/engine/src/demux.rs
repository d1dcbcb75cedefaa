//! Which protocol a datagram belongs to (RFC 7983, RFC 5761).

use crate::error::DropReason;
use crate::stun;

/// Smallest DTLS record: its header (RFC 6347, section 4.1).
const DTLS_RECORD_HEADER_LEN: usize = 13;
/// First byte from which DTLS 1.3 ciphertext has no version field (RFC 9147, section 4).
const DTLS13_UNIFIED_HEADER: u8 = 32;
/// Major version of every DTLS record with a plain header: 0xFEFF is 1.0, 0xFEFD is 1.2.
const DTLS_MAJOR_VERSION: u8 = 0xFE;
const RTP_HEADER_LEN: usize = 12;
const RTCP_MIN_LEN: usize = 8;

/// The protocol that a datagram's first bytes announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// Connectivity check or its answer.
    Stun,
    /// Handshake, alert or data channel.
    Dtls,
    /// Media, encrypted.
    Rtp,
    /// Feedback, encrypted.
    Rtcp,
}

/// Sorts a datagram by its first byte, RTP against RTCP by its second, most frequent first.
///
/// Only what tells the protocols apart is looked at; the parser of each checks the rest.
///
/// # Errors
/// [`DropReason::NotStunDtlsRtp`] for everything else, also when it is too short to be what its
/// first byte says.
pub fn classify(datagram: &[u8]) -> Result<PacketKind, DropReason> {
    match datagram {
        // The second byte as a whole: marker and payload type, or RTCP packet type 192..223.
        [128..=191, 192..=223, ..] if datagram.len() >= RTCP_MIN_LEN => Ok(PacketKind::Rtcp),
        [128..=191, 0..=191 | 224..=255, ..] if datagram.len() >= RTP_HEADER_LEN => {
            Ok(PacketKind::Rtp)
        }
        [0..=3, ..] if stun::looks_like_stun(datagram) => Ok(PacketKind::Stun),
        [first @ 20..=63, major, ..]
            if datagram.len() >= DTLS_RECORD_HEADER_LEN
                && (*first >= DTLS13_UNIFIED_HEADER || *major == DTLS_MAJOR_VERSION) =>
        {
            Ok(PacketKind::Dtls)
        }
        _ => Err(DropReason::NotStunDtlsRtp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun_like(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        bytes[2..4].copy_from_slice(&(len as u16 - 20).to_be_bytes());
        bytes
    }

    #[test]
    fn every_first_byte_gets_its_class() {
        for first in 0..=255u8 {
            let mut bytes = stun_like(32);
            bytes[0] = first;
            bytes[1] = if (20..32).contains(&first) { 0xFE } else { 96 };
            let want = match first {
                0..=3 => Ok(PacketKind::Stun),
                20..=63 => Ok(PacketKind::Dtls),
                128..=191 => Ok(PacketKind::Rtp),
                _ => Err(DropReason::NotStunDtlsRtp),
            };
            assert_eq!(classify(&bytes), want, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_told_by_the_whole_second_byte() {
        for second in 0..=255u8 {
            let mut bytes = [0; 12];
            bytes[0] = 0x80;
            bytes[1] = second;
            let rtcp = (192..=223).contains(&second);
            let want = if rtcp { PacketKind::Rtcp } else { PacketKind::Rtp };
            assert_eq!(classify(&bytes), Ok(want), "second byte {second}");
        }
    }

    #[test]
    fn short_datagrams_have_no_class() {
        for first in 0..=255u8 {
            for len in 0..=20 {
                let mut bytes = vec![0xFE; len];
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }
                let kind = classify(&bytes);
                match (first, len) {
                    (_, 0) | (0..=3, _) => assert!(kind.is_err()),
                    (20..=63, ..13) | (128..=191, ..12) => assert!(kind.is_err()),
                    (20..=63, _) => assert_eq!(kind, Ok(PacketKind::Dtls)),
                    (128..=191, _) => assert_eq!(kind, Ok(PacketKind::Rtp)),
                    _ => assert!(kind.is_err()),
                }
            }
        }
        assert_eq!(classify(&[0x80, 200, 0, 1, 0, 0, 0, 1]), Ok(PacketKind::Rtcp));
        assert!(classify(&[0x80, 200, 0, 1, 0, 0, 0]).is_err());
    }
}
