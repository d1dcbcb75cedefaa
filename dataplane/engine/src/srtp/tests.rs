use super::cipher::{Direction, Suite};
use super::kdf::SessionKeys;
use super::*;
use crate::error::DropReason;
use crate::rtp::RtpView;
use airside_dtls::SrtpProfile::{AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80};
use proptest::prelude::*;

const PROFILES: [SrtpProfile; 3] = SrtpProfile::PREFERENCE;
const SSRC: u32 = 0xCAFE_BABE;
const HEADER_LEN: usize = 20;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Master key 1, 2, 3, ... and the salt that counts on from it.
fn master(profile: SrtpProfile) -> (Vec<u8>, Vec<u8>) {
    let (key_len, salt_len) = (profile.key_len() as u8, profile.salt_len() as u8);
    ((1..=key_len).collect(), (key_len + 1..=key_len + salt_len).collect())
}

fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
    let (key, salt) = master(profile);
    let sender = SrtpSender::new(profile, &key, &salt).unwrap();
    (sender, SrtpReceiver::new(profile, &key, &salt).unwrap())
}

/// Plain packet with a one-byte extension.
fn plain(ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 0x80 | 96];
    packet.extend((index as u16).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xBE, 0xDE, 0, 1, 0x10, 0xAA, 0, 0]);
    packet.extend(payload);
    packet
}

fn sealed(sender: &mut SrtpSender, ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = plain(ssrc, index, b"media");
    let len = packet.len();
    packet.resize(len + MAX_TRAILER_LEN, 0);
    let len = sender.protect_rtp(index, &mut packet, HEADER_LEN, len).unwrap();
    packet.truncate(len);
    packet
}

fn open(receiver: &mut SrtpReceiver, packet: &[u8]) -> Result<u64, DropReason> {
    let mut packet = packet.to_vec();
    let view = RtpView::parse(&packet).unwrap();
    let opened = receiver.unprotect_rtp(&mut packet, &view)?;
    assert_eq!(packet[..opened.len], plain(view.ssrc, opened.index, b"media"));
    Ok(opened.index)
}

/// Sends the indices in the order given; returns what the receiver made of each.
fn run(
    profile: SrtpProfile,
    indices: impl IntoIterator<Item = u64>,
) -> Vec<Result<u64, DropReason>> {
    let (mut sender, mut receiver) = pair(profile);
    indices
        .into_iter()
        .map(|index| {
            let packet = sealed(&mut sender, SSRC, index);
            open(&mut receiver, &packet)
        })
        .collect()
}

// RFC 7714, section 16.
const SALT: &str = "517569642070726f2071756f";
const RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";
const RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
    deadbeef deadbeef deadbeef deadbeef deadbeef";

fn rfc7714_key(profile: SrtpProfile) -> SessionKeys {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    SessionKeys::of(&key, &hex(SALT))
}

#[test]
fn rfc7714_srtp_vectors() {
    for (profile, want) in [
        (
            AeadAes128Gcm,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
             0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            AeadAes256Gcm,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
             9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let keys = rfc7714_key(profile);
        let mut packet = hex(RTP);
        let len = packet.len();
        packet.resize(len + 16, 0);
        let mut sender = SrtpSender::with_session_keys(profile, &keys, 0);
        sender.protect_rtp(0xF17B, &mut packet, 12, len).unwrap();
        assert_eq!(packet, hex(want));

        let mut receiver = SrtpReceiver::with_session_keys(profile, &keys);
        let view = RtpView::parse(&packet).unwrap();
        let opened = receiver.unprotect_rtp(&mut packet, &view).unwrap();
        assert_eq!(opened, Unprotected { len, index: 0xF17B });
        assert_eq!(packet[..len], hex(RTP));
    }
}

#[test]
fn rfc7714_srtcp_vectors() {
    for (profile, want) in [
        (
            AeadAes128Gcm,
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
             c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
             45d9eade 800005d4",
        ),
        (
            AeadAes256Gcm,
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50
             a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
             b26ac3be 800005d4",
        ),
    ] {
        let keys = rfc7714_key(profile);
        let mut packet = hex(RTCP);
        let len = packet.len();
        packet.resize(len + 20, 0);
        let mut sender = SrtpSender::with_session_keys(profile, &keys, 0x5D3);
        sender.protect_rtcp(&mut packet, len).unwrap();
        assert_eq!(packet, hex(want));

        let mut receiver = SrtpReceiver::with_session_keys(profile, &keys);
        assert_eq!(receiver.unprotect_rtcp(&mut packet), Ok(len));
        assert_eq!(packet[..len], hex(RTCP));
    }
}

/// RFC 3711, appendix B.2: keystream of SSRC 0 and index 0.
#[test]
fn rfc3711_keystream() {
    let keys = SessionKeys::of(
        &hex("2b7e151628aed2a6abf7158809cf4f3c"),
        &hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd"),
    );
    let Ok(Suite::CmSha1(mut suite)) = Suite::new(Aes128CmSha1_80, Direction::Seal, &keys) else {
        panic!("not counter mode");
    };
    let mut stream = vec![0; 0xFF02 * 16];
    suite.encrypt(0, 0, &mut stream, &[], &mut []).unwrap();
    let want = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab
        41e95b3bb0a2e8dd477901e4fca894c0";
    assert_eq!(stream[..48], hex(want));
    let want = "ec8cdf7398607cb0f2d21675ea9ea1e4 362b7c3c6773516318a077d7fc5073ae";
    assert_eq!(stream[0xFEFF * 16..][..32], hex(want));
}

/// Packets that libsrtp made (by way of pylibsrtp 1.0) of `payload 0..2` and the same header as
/// here, numbers 65534, 65535 and 0; then a compound twice.
#[test]
fn packets_of_libsrtp_open_and_ours_are_equal_to_them() {
    let samples = [
        (
            Aes128CmSha1_80,
            [
                "90e0fffe01020304cafebabebede000110aa0000d53175e4f805afbccc67afb0aaa10cd132441f",
                "90e0ffff01020304cafebabebede000110aa00009fc17103fda5600c583b28af0134e386f09835",
                "90e0000001020304cafebabebede000110aa0000abf5e41d6e22fa63ae5cf68651f7942d12830d",
            ],
            [
                "80c90001cafebabe2991095bff830743309a7264e07178d18000000100a6043edd708134c62a",
                "80c90001cafebabe359dba0a70968d052f5d7307a27618158000000254665c5895355d04743a",
            ],
        ),
        (
            AeadAes128Gcm,
            [
                "90e0fffe01020304cafebabebede000110aa00004ab06a716ff1dc997caa591bb2c74417b65e280f1c58b7b747",
                "90e0ffff01020304cafebabebede000110aa0000633dbafa3e28ccae56c2b9cbebf63ff27e7d4b23e84bd1b415",
                "90e0000001020304cafebabebede000110aa00009699eded80e7ec4ea1e16b1e43eb894e9d3087911d560a5d92",
            ],
            [
                "80c90001cafebabef11dc81c126e354ab11bc50e22c0ee230c1c5e17984b84789cc40504b4c45bce80000001",
                "80c90001cafebabeacec170ca0258db6373ec32ae40afb85733433f89e777528701e8eecab96418180000002",
            ],
        ),
        (
            AeadAes256Gcm,
            [
                "90e0fffe01020304cafebabebede000110aa0000fcbca7664205a9ba11963c21cd54b7911a178f7a6658219d8f",
                "90e0ffff01020304cafebabebede000110aa000007a60c00dea111a977f4fedeeebb2fb915d9e99b5b80c700e0",
                "90e0000001020304cafebabebede000110aa0000f1ae7a24d29117e2f1d1e37bbd8689a305765447487c7384f6",
            ],
            [
                "80c90001cafebabeaf994aa3d34eeb2fb2948b38f1ec5a970fd303bc32e305cbfa9fccf010e2b43480000001",
                "80c90001cafebabe803a3f878e8cc349b7bc67e7060a276ec586833d7d8845d3897ddddb2f093ff180000002",
            ],
        ),
    ];
    for (profile, rtp, rtcp) in samples {
        let (mut sender, mut receiver) = pair(profile);
        for (at, sample) in rtp.iter().enumerate() {
            let index = 0xFFFE + at as u64;
            let payload = format!("payload {at}");
            let want = plain(SSRC, index, payload.as_bytes());

            let mut packet = hex(sample);
            let view = RtpView::parse(&packet).unwrap();
            let opened = receiver.unprotect_rtp(&mut packet, &view).unwrap();
            assert_eq!(opened, Unprotected { len: want.len(), index });
            assert_eq!(packet[..opened.len], want);

            // Ours, with the payload split between prefix and shared part.
            let mut out = vec![0; want.len() + sender.rtp_overhead()];
            out[..HEADER_LEN + 3].copy_from_slice(&want[..HEADER_LEN + 3]);
            let (_, shared) = payload.as_bytes().split_at(3);
            let len = sender.protect_rtp_from(index, &mut out, HEADER_LEN, 3, shared).unwrap();
            assert_eq!(out[..len], hex(sample));
        }
        let compound = hex("80c90001cafebabe81ca0003cafebabe0103616263000000");
        for sample in rtcp {
            let mut packet = hex(sample);
            assert_eq!(receiver.unprotect_rtcp(&mut packet), Ok(compound.len()));
            assert_eq!(packet[..compound.len()], compound);

            let mut out = compound.clone();
            out.resize(compound.len() + sender.rtcp_overhead(), 0);
            let len = sender.protect_rtcp(&mut out, compound.len()).unwrap();
            assert_eq!(out[..len], hex(sample));
        }
    }
}

#[test]
fn reordering_around_the_wrap() {
    for profile in PROFILES {
        let indices = [65_533, 65_535, 65_536, 65_537, 65_534, 65_538];
        assert_eq!(run(profile, indices), indices.map(Ok));
    }
}

#[test]
fn loss_over_the_wrap_and_late_packets_from_before_it() {
    for profile in PROFILES {
        let indices: Vec<u64> =
            (65_500..=65_530).chain(65_541..=65_600).chain([65_531, 65_601]).collect();
        assert_eq!(run(profile, indices.clone()), indices.into_iter().map(Ok).collect::<Vec<_>>());
    }
}

#[test]
fn start_near_the_wrap() {
    assert_eq!(run(AeadAes128Gcm, [0xFFFE, 0x1_0003]), [Ok(0xFFFE), Ok(0x1_0003)]);
}

#[test]
fn replays_are_refused_and_what_is_behind_the_window() {
    for profile in PROFILES {
        let got = run(profile, [2000, 2000, 2000 - 1023, 2000 - 1023, 2000 - 1024, 2001]);
        let replayed = Err(DropReason::SrtpReplayed);
        assert_eq!(got, [Ok(2000), replayed, Ok(977), replayed, replayed, Ok(2001)]);
    }
}

#[test]
fn a_forged_packet_changes_nothing() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let first = sealed(&mut sender, SSRC, 100);
        let second = sealed(&mut sender, SSRC, 101);

        // The first packet of a source is forged: no state is made for it.
        let mut forged = first.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(open(&mut receiver, &forged), Err(DropReason::SrtpAuthFailed));
        assert_eq!(open(&mut receiver, &first), Ok(100));

        // Far ahead: would move the window and the rollover counter.
        let mut far = second.clone();
        far[2..4].copy_from_slice(&20_101u16.to_be_bytes());
        assert_eq!(open(&mut receiver, &far), Err(DropReason::SrtpAuthFailed));
        let mut far = second.clone();
        far[2..4].copy_from_slice(&65_000u16.to_be_bytes());
        assert!(open(&mut receiver, &far).is_err());
        assert_eq!(open(&mut receiver, &second), Ok(101));
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let packet = sealed(&mut sender, SSRC, 100);
        for at in 0..packet.len() {
            let mut forged = packet.clone();
            forged[at] ^= 0x01;
            if let Ok(view) = RtpView::parse(&forged) {
                assert!(receiver.unprotect_rtp(&mut forged, &view).is_err(), "byte {at}");
            }
        }
        assert_eq!(open(&mut receiver, &packet), Ok(100));
    }
}

#[test]
fn a_source_that_comes_back_finds_its_rollover_counter() {
    let (mut sender, mut receiver) = pair(AeadAes128Gcm);
    for (ssrc, index) in [(1, 65_535), (1, 65_536), (2, 7), (2, 8), (1, 65_537), (2, 9)] {
        let packet = sealed(&mut sender, ssrc, index);
        assert_eq!(open(&mut receiver, &packet), Ok(index));
    }
}

#[test]
fn sources_are_bounded_and_the_one_unused_for_longest_goes() {
    let (mut sender, mut receiver) = pair(AeadAes128Gcm);
    // Source 0 stays in use, beyond its wrap; 1000 others come and go.
    let mut index = 65_500;
    for ssrc in 1..=1000 {
        let packet = sealed(&mut sender, 0, index);
        assert_eq!(open(&mut receiver, &packet), Ok(index));
        index += 1;
        let packet = sealed(&mut sender, ssrc, 5);
        assert_eq!(open(&mut receiver, &packet), Ok(5));
        assert_eq!(open(&mut receiver, &packet), Err(DropReason::SrtpReplayed));
    }
    assert!(index > 65_536);
}

#[test]
fn srtcp_counts_up_and_refuses_replays() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let plain = hex("80c90001cafebabe81ca0003cafebabe0103616263000000");
        let packets: Vec<Vec<u8>> = (0..200)
            .map(|_| {
                let mut packet = plain.clone();
                packet.resize(plain.len() + MAX_TRAILER_LEN, 0);
                let len = sender.protect_rtcp(&mut packet, plain.len()).unwrap();
                packet[..len].to_vec()
            })
            .collect();
        let mut open = |at: usize| receiver.unprotect_rtcp(&mut packets[at].clone());
        assert_eq!(open(199), Ok(plain.len()));
        assert_eq!(open(199), Err(DropReason::SrtpReplayed));
        assert_eq!(open(199 - 127), Ok(plain.len()));
        assert_eq!(open(199 - 128), Err(DropReason::SrtpReplayed));
        let mut forged = packets[150].clone();
        forged[9] ^= 1;
        assert_eq!(receiver.unprotect_rtcp(&mut forged), Err(DropReason::SrtpAuthFailed));
        assert_eq!(receiver.unprotect_rtcp(&mut packets[150].clone()), Ok(plain.len()));
    }
}

#[test]
fn srtcp_without_the_e_flag_is_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
        packet.resize(8 + sender.rtcp_overhead(), 0);
        sender.protect_rtcp(&mut packet, 8).unwrap();
        let flag_at = if profile == Aes128CmSha1_80 { 8 } else { 8 + 16 };
        packet[flag_at] &= 0x7F;
        assert_eq!(receiver.unprotect_rtcp(&mut packet), Err(DropReason::SrtpAuthFailed));
    }
}

#[test]
fn srtcp_index_ends_at_31_bits() {
    let keys = rfc7714_key(AeadAes128Gcm);
    let mut sender = SrtpSender::with_session_keys(AeadAes128Gcm, &keys, (1 << 31) - 2);
    let mut packet = vec![0; 64];
    assert_eq!(sender.protect_rtcp(&mut packet, 8), Ok(28));
    assert_eq!(packet[24..28], [0xFF; 4]);
    assert_eq!(sender.protect_rtcp(&mut packet, 8), Err(DropReason::SrtpKeyExhausted));
}

#[test]
fn no_room_and_nonsense_lengths_are_refused() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        let packet = plain(SSRC, 1, b"media");
        let len = packet.len();
        let tag_len = sender.rtp_overhead();
        for room in 0..tag_len {
            let mut out = packet.clone();
            out.resize(len + room, 0);
            assert_eq!(sender.protect_rtp(1, &mut out, HEADER_LEN, len), Err(DropReason::TooBig));
        }
        assert_eq!(sender.protect_rtp(1, &mut [0; 64], 0, 11), Err(DropReason::TooBig));
        assert_eq!(
            sender.protect_rtp_from(1, &mut [0; 64], 12, 0, &[0; 64]),
            Err(DropReason::TooBig)
        );
        assert_eq!(sender.protect_rtcp(&mut [0; 64], 7), Err(DropReason::RtcpMalformed));
        assert_eq!(sender.protect_rtcp(&mut [0; 64], 60), Err(DropReason::TooBig));
    }
}

#[test]
fn truncation_at_each_length_is_an_error() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let packet = sealed(&mut sender, SSRC, 100);
        for len in 0..packet.len() {
            let mut cut = packet[..len].to_vec();
            if let Ok(view) = RtpView::parse(&cut) {
                let reason = receiver.unprotect_rtp(&mut cut, &view).unwrap_err();
                let short = len < HEADER_LEN + sender.rtp_overhead();
                let want =
                    if short { DropReason::SrtpTooShort } else { DropReason::SrtpAuthFailed };
                assert_eq!(reason, want);
            }
        }
        let mut compound = hex("80c90001cafebabe81ca0003cafebabe0103616263000000");
        let len = compound.len();
        compound.resize(len + MAX_TRAILER_LEN, 0);
        let len = sender.protect_rtcp(&mut compound, len).unwrap();
        for cut in 0..len {
            assert!(receiver.unprotect_rtcp(&mut compound[..cut].to_vec()).is_err());
        }
    }
}

#[test]
fn an_empty_payload_is_fine() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut packet = plain(SSRC, 1, b"");
        packet.resize(HEADER_LEN + MAX_TRAILER_LEN, 0);
        let len = sender.protect_rtp(1, &mut packet, HEADER_LEN, HEADER_LEN).unwrap();
        let view = RtpView::parse(&packet[..len]).unwrap();
        let opened = receiver.unprotect_rtp(&mut packet[..len], &view).unwrap();
        assert_eq!(opened.len, HEADER_LEN);
    }
}

proptest! {
    #[test]
    fn packets_round_trip(
        which in 0usize..3,
        ssrc: u32,
        index in 0u64..1 << 16,
        payload in proptest::collection::vec(any::<u8>(), 0..1300),
        split in 0usize..1300,
    ) {
        let (mut sender, mut receiver) = pair(PROFILES[which]);
        let want = plain(ssrc, index, &payload);
        let (prefix, shared) = payload.split_at(split.min(payload.len()));
        let mut out = want.clone();
        out[HEADER_LEN + prefix.len()..].fill(0);
        out.resize(want.len() + MAX_TRAILER_LEN, 0);
        let len = sender.protect_rtp_from(index, &mut out, HEADER_LEN, prefix.len(), shared).unwrap();
        let view = RtpView::parse(&out[..len]).unwrap();
        let opened = receiver.unprotect_rtp(&mut out[..len], &view).unwrap();
        prop_assert_eq!(opened, Unprotected { len: want.len(), index });
        prop_assert_eq!(&out[..opened.len], &want[..]);
    }

    /// Whatever the network does within the window, every packet opens exactly once.
    #[test]
    fn reordering_and_repeats_within_the_window(
        start in 0u64..32_768,
        jitter in proptest::collection::vec(0u64..400, 100..400),
        stride in 1u64..150,
    ) {
        let mut order: Vec<(u64, u64)> = jitter
            .iter()
            .enumerate()
            .map(|(at, jitter)| (start + stride * at as u64, stride * at as u64 + jitter))
            .collect();
        order.sort_by_key(|(_, arrival)| *arrival);
        // The receiver learns the source at ROC 0, so the first must be from there.
        let first = order.iter().position(|(index, _)| *index < 32_768 + 400).unwrap();
        order.swap(0, first);
        let (mut sender, mut receiver) = pair(Aes128CmSha1_80);
        for (index, _) in order {
            let packet = sealed(&mut sender, SSRC, index);
            prop_assert_eq!(open(&mut receiver, &packet), Ok(index));
            prop_assert_eq!(open(&mut receiver, &packet), Err(DropReason::SrtpReplayed));
        }
    }
}
