use super::*;
use crate::error::{Format, ParseError};
use proptest::prelude::*;
use std::net::SocketAddr;

const ID: TransactionId = *b"0123456789ab";
const KEY: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

/// RFC 5769, section 2.1: request of an ICE agent, username "evtj:h6vY".
const RFC5769_REQUEST: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\
    \x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// RFC 5769, section 2.2: answer with 192.0.2.1:32853.
const RFC5769_IPV4: &[u8] = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
    \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
    \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
    \x80\x28\x00\x04\xc0\x7d\x4c\x96";

/// RFC 5769, section 2.3: answer with [2001:db8:1234:5678:11:2233:4455:6677]:32853.
const RFC5769_IPV6: &[u8] = b"\x01\x01\x00\x48\x21\x12\xa4\x42\
    \xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
    \x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
    \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\
    \x80\x28\x00\x04\xc8\xfb\x0b\x4c";

fn request() -> Vec<u8> {
    let mut out = [0; MAX_MESSAGE_LEN];
    let request = BindingRequest {
        transaction_id: ID,
        username: "srv:cli",
        priority: 0x6E00_01FF,
        role: IceRole::Controlling(7),
        use_candidate: true,
        nomination: Some(3),
    };
    let len = write_binding_request(&mut out, &request, KEY).unwrap();
    out[..len].to_vec()
}

/// Message from raw attributes; `seal` appends a right FINGERPRINT.
fn message(attributes: &[(u16, &[u8])], seal: bool) -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0];
    bytes.extend(MAGIC_COOKIE);
    bytes.extend(ID);
    for (number, value) in attributes {
        bytes.extend(number.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let len = bytes.len() - HEADER_LEN + if seal { 8 } else { 0 };
    bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    if seal {
        let crc = fingerprint(&bytes);
        bytes.extend([0x80, 0x28, 0, 4]);
        bytes.extend(crc.to_be_bytes());
    }
    bytes
}

#[test]
fn rfc5769_request() {
    let message = Message::parse(RFC5769_REQUEST).unwrap();
    assert!(message.is_binding(Class::Request));
    assert_eq!(message.username(), Some("evtj:h6vY"));
    assert_eq!(message.ufrags(), Some(("evtj", "h6vY")));
    assert_eq!(message.priority(), Some(0x6E00_01FF));
    assert_eq!(message.role(), Some(IceRole::Controlled(0x932F_F9B1_5126_3B36)));
    assert!(message.integrity_matches(KEY));
    assert!(!message.integrity_matches(b"VOkJxbRl1RmTxUk/WvJxBu"));
    assert!(message.fingerprint_matches());
    assert!(message.unknown_attributes().is_empty());
}

#[test]
fn rfc5769_responses() {
    for (bytes, address) in [
        (RFC5769_IPV4, "192.0.2.1:32853"),
        (RFC5769_IPV6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let message = Message::parse(bytes).unwrap();
        assert!(message.is_binding(Class::Success));
        assert_eq!(message.xor_mapped_address(), Some(address.parse().unwrap()));
        assert!(message.integrity_matches(KEY));
        assert!(message.fingerprint_matches());
    }
}

#[test]
fn our_request_reads_back() {
    let bytes = request();
    let message = Message::parse(&bytes).unwrap();
    assert!(message.is_binding(Class::Request));
    assert_eq!(message.transaction_id(), ID);
    assert_eq!(message.ufrags(), Some(("srv", "cli")));
    assert_eq!(message.role(), Some(IceRole::Controlling(7)));
    assert!(message.use_candidate());
    assert_eq!(message.nomination(), Some(3));
    assert!(message.integrity_matches(KEY) && message.fingerprint_matches());
}

#[test]
fn our_answers_read_back_and_are_smaller_than_the_request() {
    let mut out = [0; MAX_MESSAGE_LEN];
    for address in ["203.0.113.9:40000", "[2001:db8::1]:1"] {
        let address: SocketAddr = address.parse().unwrap();
        let len = write_binding_success(&mut out, &ID, address, KEY).unwrap();
        assert!(len <= request().len());
        let message = Message::parse(&out[..len]).unwrap();
        assert!(message.is_binding(Class::Success));
        assert_eq!(message.xor_mapped_address(), Some(address));
        assert!(message.integrity_matches(KEY) && message.fingerprint_matches());
    }
    for (code, unknown, key) in [
        (ErrorCode::BadRequest, &[][..], None),
        (ErrorCode::Unauthenticated, &[][..], None),
        (ErrorCode::UnknownAttribute, &[0x7001, 0x7002, 0x7003][..], Some(KEY)),
        (ErrorCode::RoleConflict, &[][..], Some(KEY)),
    ] {
        let len = write_binding_error(&mut out, &ID, code, unknown, key).unwrap();
        assert!(len <= request().len());
        let message = Message::parse(&out[..len]).unwrap();
        assert!(message.is_binding(Class::Error));
        assert_eq!(message.error_code(), Some(code as u16));
        assert_eq!(message.integrity_matches(KEY), key.is_some());
        assert!(message.fingerprint_matches());
    }
}

#[test]
fn v4_mapped_source_is_answered_as_v4() {
    let mut out = [0; MAX_MESSAGE_LEN];
    let mapped = "[::ffff:192.0.2.7]:5000".parse().unwrap();
    let len = write_binding_success(&mut out, &ID, mapped, KEY).unwrap();
    let seen = Message::parse(&out[..len]).unwrap().xor_mapped_address();
    assert_eq!(seen, Some("192.0.2.7:5000".parse().unwrap()));
}

/// RFC 2202, test cases 6 and 7 have such keys; here only that both sides agree on them.
#[test]
fn passwords_longer_than_a_hash_block_work() {
    for len in [0, 63, 64, 65, 256] {
        let key = vec![b'p'; len];
        let mut out = [0; MAX_MESSAGE_LEN];
        let len =
            write_binding_success(&mut out, &ID, "192.0.2.1:1".parse().unwrap(), &key).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        assert!(message.integrity_matches(&key));
        assert!(!message.integrity_matches(&[&key[..], b"p"].concat()));
    }
}

#[test]
fn too_small_buffer_is_refused_at_each_length() {
    let whole = request();
    let request = BindingRequest {
        transaction_id: ID,
        username: "srv:cli",
        priority: 0x6E00_01FF,
        role: IceRole::Controlling(7),
        use_candidate: true,
        nomination: Some(3),
    };
    for len in 0..whole.len() {
        assert_eq!(write_binding_request(&mut vec![0; len], &request, KEY), None);
    }
}

#[test]
fn attributes_after_integrity_are_ignored_but_for_fingerprint() {
    let bytes = message(
        &[
            (attribute::USERNAME, b"a:b"),
            (attribute::MESSAGE_INTEGRITY, &[0; 20]),
            (attribute::USE_CANDIDATE, &[]),
            (attribute::PRIORITY, &[0; 4]),
            (0x7FFF, b"unknown"),
        ],
        true,
    );
    let parsed = Message::parse(&bytes).unwrap();
    assert!(parsed.fingerprint_matches() && parsed.has_integrity());
    assert!(!parsed.use_candidate());
    assert_eq!(parsed.priority(), None);
    assert!(parsed.unknown_attributes().is_empty());
    assert!(!parsed.integrity_matches(KEY));
}

#[test]
fn fingerprint_missing_wrong_or_not_last() {
    let without = message(&[(attribute::USERNAME, b"a:b")], false);
    assert!(!Message::parse(&without).unwrap().fingerprint_matches());

    let mut wrong = message(&[(attribute::USERNAME, b"a:b")], true);
    *wrong.last_mut().unwrap() ^= 1;
    assert!(!Message::parse(&wrong).unwrap().fingerprint_matches());

    let not_last =
        message(&[(attribute::FINGERPRINT, &[0; 4]), (attribute::PRIORITY, &[0; 4])], false);
    assert_eq!(Message::parse(&not_last).unwrap_err(), ParseError::BadLength(Format::Stun));
}

#[test]
fn unknown_required_attributes_are_exposed_and_bounded() {
    let numbers: Vec<u16> = (0x7000..0x7010).collect();
    let attributes: Vec<(u16, &[u8])> = numbers.iter().map(|n| (*n, &b"x"[..])).collect();
    let bytes = message(&attributes, true);
    let parsed = Message::parse(&bytes).unwrap();
    assert_eq!(parsed.unknown_attributes().as_slice(), &numbers[..8]);
}

#[test]
fn first_of_a_repeated_attribute_counts() {
    let bytes = message(
        &[(attribute::PRIORITY, &[0, 0, 0, 1]), (attribute::PRIORITY, &[0, 0, 0, 2])],
        true,
    );
    assert_eq!(Message::parse(&bytes).unwrap().priority(), Some(1));
}

#[test]
fn malformed_attributes_are_refused() {
    let long_name = [b'u'; 513];
    let bad: &[(u16, &[u8])] = &[
        (attribute::USERNAME, &long_name),
        (attribute::USERNAME, &[0xFF, 0xFE]),
        (attribute::MESSAGE_INTEGRITY, &[0; 19]),
        (attribute::FINGERPRINT, &[0; 3]),
        (attribute::XOR_MAPPED_ADDRESS, &[]),
        (attribute::XOR_MAPPED_ADDRESS, &[0, 1, 0, 0, 1, 2, 3]),
        (attribute::XOR_MAPPED_ADDRESS, &[0, 2, 0, 0, 1, 2, 3, 4]),
        (attribute::XOR_MAPPED_ADDRESS, &[0, 3, 0, 0, 1, 2, 3, 4]),
        (attribute::PRIORITY, &[0; 3]),
        (attribute::USE_CANDIDATE, &[0]),
        (attribute::ICE_CONTROLLING, &[0; 7]),
        (attribute::ICE_CONTROLLED, &[]),
        (attribute::NOMINATION, &[0; 5]),
        (attribute::ERROR_CODE, &[0, 0, 4]),
        (attribute::ERROR_CODE, &[0, 0, 2, 0]),
        (attribute::ERROR_CODE, &[0, 0, 4, 100]),
    ];
    for attribute in bad {
        assert!(Message::parse(&message(&[*attribute], false)).is_err(), "{attribute:x?}");
    }
    // The longest USERNAME that is allowed.
    assert!(Message::parse(&message(&[(attribute::USERNAME, &long_name[1..])], false)).is_ok());
}

#[test]
fn header_length_must_match_the_datagram() {
    let bytes = request();
    for wrong in [0, 4, bytes.len() as u16 - 16, 0xFFFC, 0xFFFF, 1, 2] {
        let mut bytes = bytes.clone();
        bytes[2..4].copy_from_slice(&wrong.to_be_bytes());
        assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::BadLength(Format::Stun));
    }
    // Attribute that claims to go past the end.
    let mut bytes = message(&[(attribute::REALM, b"abcd")], false);
    bytes[HEADER_LEN + 3] = 5;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::Truncated(Format::Stun));
}

#[test]
fn truncation_at_each_length_is_an_error() {
    for sample in [RFC5769_REQUEST, RFC5769_IPV4, RFC5769_IPV6, &request()] {
        for len in 0..sample.len() {
            assert!(Message::parse(&sample[..len]).is_err());
            // Also with the header's length adjusted, so that the attributes are walked.
            let mut cut = sample[..len].to_vec();
            if len >= HEADER_LEN {
                cut[2..4].copy_from_slice(&((len - HEADER_LEN) as u16).to_be_bytes());
                if let Ok(message) = Message::parse(&cut) {
                    assert!(!message.fingerprint_matches());
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn requests_round_trip(
        id in any::<[u8; 12]>(),
        username in "[a-zA-Z0-9+/]{4,32}:[a-zA-Z0-9+/]{4,256}",
        priority in any::<u32>(),
        tie_breaker in any::<u64>(),
        controlling in any::<bool>(),
        use_candidate in any::<bool>(),
        nomination in any::<Option<u32>>(),
    ) {
        let role = if controlling {
            IceRole::Controlling(tie_breaker)
        } else {
            IceRole::Controlled(tie_breaker)
        };
        let request = BindingRequest {
            transaction_id: id, username: &username, priority, role, use_candidate, nomination,
        };
        let mut out = [0; MAX_MESSAGE_LEN];
        let len = write_binding_request(&mut out, &request, KEY).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        prop_assert_eq!(message.transaction_id(), id);
        prop_assert_eq!(message.username(), Some(username.as_str()));
        prop_assert_eq!(message.priority(), Some(priority));
        prop_assert_eq!(message.role(), Some(role));
        prop_assert_eq!(message.use_candidate(), use_candidate);
        prop_assert_eq!(message.nomination(), nomination);
        prop_assert!(message.integrity_matches(KEY) && message.fingerprint_matches());
    }

    #[test]
    fn any_flipped_bit_breaks_the_fingerprint(at in 0usize..100, bit in 0u8..8) {
        let mut bytes = request();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(!Message::parse(&bytes).is_ok_and(|m| m.fingerprint_matches()));
    }
}
