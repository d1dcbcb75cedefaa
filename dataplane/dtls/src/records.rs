//! What of a datagram may reach OpenSSL.
//!
//! DTLS 1.2 records of epoch 0 are not authenticated (RFC 6347, section 4.1), and OpenSSL gives up
//! on some of them: a plaintext alert ends it, a handshake message out of place too, and so does an
//! "encrypted" record too short to hold an authentication tag. Here they are dropped, so that whoever
//! guesses the address of a peer cannot end its session.

use crate::association::Role;

/// Record header: type, version, epoch, sequence number, length (RFC 6347, section 4.1).
const HEADER_LEN: usize = 13;
/// Handshake header: type, length, sequence, fragment offset and length (section 4.2.2).
const FRAGMENT_HEADER_LEN: usize = 12;
/// Longest plaintext handshake message accepted. A certificate with an RSA key of 8192 bits is
/// below 4 kB, a ClientHello with a post-quantum share below 3 kB. OpenSSL allocates by this field.
const MAX_MESSAGE_LEN: usize = 16 * 1024;
/// A full handshake has fewer than ten messages each way.
const MAX_MESSAGE_SEQ: u16 = 16;
/// Longest encrypted record in which a Finished fits (48 bytes under AES-GCM). A renegotiating
/// ClientHello is longer.
const MAX_FINISHED_LEN: usize = 64;

/// What encryption adds to a record: explicit nonce and tag of AES-GCM (RFC 5288, section 3) ...
pub(crate) const GCM_OVERHEAD: usize = 24;
/// ... and the tag of ChaCha20-Poly1305 alone (RFC 7905, section 2).
pub(crate) const CHACHA_OVERHEAD: usize = 16;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

/// What the association is ready to take.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) role: Role,
    pub(crate) connected: bool,
    /// An encrypted record is at least this long. Until the cipher is known that of the longer kind:
    /// all that comes encrypted by then is a Finished of 40 bytes or more.
    pub(crate) overhead: usize,
    /// How many more encrypted handshake records are let through once connected.
    pub(crate) late_flights_left: u8,
}

impl Gate {
    /// The records of a datagram that may pass, in their order, and how many may not.
    /// A datagram cut in the middle of a record counts as one dropped record.
    pub(crate) fn filter(&mut self, datagram: &[u8]) -> (Vec<u8>, u32) {
        let mut passed = Vec::with_capacity(datagram.len());
        let mut dropped = 0;
        let mut rest = datagram;
        while !rest.is_empty() {
            let Some((record, after)) = split_record(rest) else {
                dropped += 1;
                break;
            };
            if self.admits(record) {
                passed.extend_from_slice(record);
            } else {
                dropped += 1;
            }
            rest = after;
        }
        (passed, dropped)
    }

    fn admits(&mut self, record: &[u8]) -> bool {
        // DTLS 1.0 stands in the record header of a first ClientHello.
        if record[1] != 0xFE || !matches!(record[2], 0xFF | 0xFD) {
            return false;
        }
        let epoch = u16::from_be_bytes([record[3], record[4]]);
        let body = &record[HEADER_LEN..];
        match (record[0], epoch) {
            (CHANGE_CIPHER_SPEC, 0) => !self.connected && body == [1],
            (HANDSHAKE, 0) => !self.connected && self.admits_plaintext(body),
            (_, 1) if body.len() < self.overhead => false,
            (HANDSHAKE, 1) if self.connected => self.admits_late_flight(body),
            (HANDSHAKE | ALERT | APPLICATION_DATA, 1) => true,
            _ => false,
        }
    }

    /// Every fragment is whole and lies within its message, and the message is of a kind that the
    /// other side may send before it encrypts.
    fn admits_plaintext(&self, mut body: &[u8]) -> bool {
        if body.is_empty() {
            return false;
        }
        while !body.is_empty() {
            let Some((header, after)) = body.split_at_checked(FRAGMENT_HEADER_LEN) else {
                return false;
            };
            let message_len = u24(&header[1..4]);
            let message_seq = u16::from_be_bytes([header[4], header[5]]);
            let (offset, len) = (u24(&header[6..9]), u24(&header[9..12]));
            let known = match self.role {
                // ClientHello, Certificate, CertificateVerify, ClientKeyExchange.
                Role::Server => matches!(header[0], 1 | 11 | 15 | 16),
                // ServerHello, HelloVerifyRequest, NewSessionTicket, Certificate,
                // ServerKeyExchange, CertificateRequest, ServerHelloDone, CertificateStatus.
                Role::Client => matches!(header[0], 2 | 3 | 4 | 11 | 12 | 13 | 14 | 22),
            };
            if !known
                || message_len > MAX_MESSAGE_LEN
                || message_seq > MAX_MESSAGE_SEQ
                || offset + len > message_len
                || (len == 0 && message_len != 0)
                || len > after.len()
            {
                return false;
            }
            body = &after[len..];
        }
        true
    }

    /// A peer that lost our last flight repeats its own; we answer some times. OpenSSL would count
    /// them and fail the association at the thirteenth.
    fn admits_late_flight(&mut self, body: &[u8]) -> bool {
        if self.role == Role::Client || body.len() > MAX_FINISHED_LEN || self.late_flights_left == 0
        {
            return false;
        }
        self.late_flights_left -= 1;
        true
    }
}

fn split_record(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = datagram.get(..HEADER_LEN)?;
    let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
    datagram.split_at_checked(HEADER_LEN + len)
}

fn u24(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record with the given type, epoch and body.
    pub(crate) fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 0xFE, 0xFD];
        record.extend(epoch.to_be_bytes());
        record.extend([0, 0, 0, 0, 0, 9]);
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    /// One fragment of a handshake message.
    pub(crate) fn fragment(kind: u8, message_len: u32, offset: u32, body: &[u8]) -> Vec<u8> {
        let mut fragment = vec![kind];
        fragment.extend(&message_len.to_be_bytes()[1..]);
        fragment.extend([0, 0]);
        fragment.extend(&offset.to_be_bytes()[1..]);
        fragment.extend(&(body.len() as u32).to_be_bytes()[1..]);
        fragment.extend(body);
        fragment
    }

    fn server(connected: bool) -> Gate {
        Gate { role: Role::Server, connected, overhead: GCM_OVERHEAD, late_flights_left: 2 }
    }

    fn passes(gate: &mut Gate, datagram: &[u8]) -> bool {
        gate.filter(datagram) == (datagram.to_vec(), 0)
    }

    #[test]
    fn plaintext_alerts_and_data_never_pass() {
        for connected in [false, true] {
            assert!(!passes(&mut server(connected), &record(ALERT, 0, &[1, 0])));
            assert!(!passes(&mut server(connected), &record(ALERT, 0, &[2, 40])));
            assert!(!passes(&mut server(connected), &record(APPLICATION_DATA, 0, b"hello")));
            assert!(!passes(&mut server(connected), &record(24, 0, &[1, 2, 3])));
            assert!(!passes(&mut server(connected), &record(HANDSHAKE, 2, &[0; 48])));
        }
        assert!(passes(&mut server(true), &record(ALERT, 1, &[0; 26])));
        assert!(passes(&mut server(true), &record(APPLICATION_DATA, 1, &[0; 90])));
    }

    #[test]
    fn plaintext_handshake_passes_only_before_completion() {
        let hello = record(HANDSHAKE, 0, &fragment(1, 60, 0, &[7; 60]));
        assert!(passes(&mut server(false), &hello));
        assert!(!passes(&mut server(true), &hello));
        assert!(passes(&mut server(false), &record(CHANGE_CIPHER_SPEC, 0, &[1])));
        assert!(!passes(&mut server(false), &record(CHANGE_CIPHER_SPEC, 0, &[1, 1])));
        assert!(!passes(&mut server(true), &record(CHANGE_CIPHER_SPEC, 0, &[1])));
    }

    #[test]
    fn fragments_must_lie_within_a_message_of_bounded_length() {
        let bad = [
            fragment(1, 60, 30, &[7; 31]),
            fragment(1, 60, 0, &[]),
            fragment(1, 16 << 20, 0, &[7; 100]),
            fragment(2, 60, 0, &[7; 60]),
            fragment(1, 60, 0, &[7; 60])[..50].to_vec(),
            vec![1; 11],
            vec![],
        ];
        for body in bad {
            assert!(!passes(&mut server(false), &record(HANDSHAKE, 0, &body)), "{body:?}");
        }
        let two = [fragment(11, 90, 0, &[7; 60]), fragment(16, 3, 0, &[7; 3])].concat();
        assert!(passes(&mut server(false), &record(HANDSHAKE, 0, &two)), "BoringSSL packs them");
        let done = record(HANDSHAKE, 0, &fragment(14, 0, 0, &[]));
        assert!(passes(&mut Gate { role: Role::Client, ..server(false) }, &done));
    }

    #[test]
    fn encrypted_records_have_room_for_their_tag() {
        for (connected, overhead) in [(false, 24), (true, 24), (true, 16)] {
            for kind in [ALERT, HANDSHAKE, APPLICATION_DATA] {
                for len in 0..30 {
                    let mut gate = Gate { overhead, ..server(connected) };
                    let passed = passes(&mut gate, &record(kind, 1, &vec![7; len]));
                    assert_eq!(passed, len >= overhead, "{kind} of {len}, {connected}");
                }
            }
        }
    }

    #[test]
    fn late_flights_are_counted_and_short() {
        let mut gate = server(true);
        assert!(!passes(&mut gate, &record(HANDSHAKE, 1, &[0; 200])), "renegotiation");
        assert!(passes(&mut gate, &record(HANDSHAKE, 1, &[0; 48])));
        assert!(passes(&mut gate, &record(HANDSHAKE, 1, &[0; 48])));
        assert!(!passes(&mut gate, &record(HANDSHAKE, 1, &[0; 48])));
    }

    #[test]
    fn good_records_survive_bad_neighbours() {
        let good = record(APPLICATION_DATA, 1, &[5; 40]);
        let mut datagram = record(ALERT, 0, &[1, 0]);
        datagram.extend(&good);
        datagram.extend(&good[..20]);
        assert_eq!(server(true).filter(&datagram), (good, 2));
    }

    #[test]
    fn every_truncation_is_dropped() {
        let hello = record(HANDSHAKE, 0, &fragment(1, 60, 0, &[7; 60]));
        for len in 1..hello.len() {
            assert_eq!(server(false).filter(&hello[..len]), (vec![], 1), "{len}");
        }
    }
}
