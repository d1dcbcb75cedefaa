//! Time to seal and open one packet, one key out of 100 in turn: what a fan-out does.
//!
//! `cargo bench -p airside-engine --bench srtp`
//!
//! Choice of library, measured with the same loop on one core of an x86-64 server with VAES and
//! AVX-512 (nanoseconds per packet, best of seven rounds; SHA1 and AES-CM apart):
//!
//! | Library                   | GCM 1200 B | GCM 100 B | CM 1200 B | SHA1 1200 B | SHA1 100 B |
//! |---------------------------|-----------:|----------:|----------:|------------:|-----------:|
//! | OpenSSL 3.6 (openssl)     |        174 |       113 |       141 |             |            |
//! | aws-lc-rs 1.19            |        222 |       102 |       146 |         826 |        258 |
//! | ring 0.17                 |        204 |       118 |           |        2750 |        627 |
//! | RustCrypto aes, ctr, sha1 |            |           |       236 |         764 |        188 |
//!
//! OpenSSL seals large packets fastest and is in the build already, for DTLS; aws-lc-rs would add
//! half a minute of compiling on two cores, ring has a portable SHA-1 only. HMAC-SHA1 is taken
//! from RustCrypto; that of OpenSSL was not measured. A wrong tag costs about as much as a right one (204 against 180 ns at
//! 1200 bytes), and a key 1.2 kB.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::time::Instant;

use airside_engine::rtp::RtpView;
use airside_engine::srtp::{MAX_TRAILER_LEN, SrtpProfile, SrtpReceiver, SrtpSender};

const KEYS: usize = 100;
const ROUNDS: usize = 7;
const PACKETS_PER_ROUND: u64 = 30_000;
/// Fewer to open, so that they stay in the cache as packets just read from a socket do.
const OPENED_PER_ROUND: u64 = 400;
const HEADER_LEN: usize = 20;
const SIZES: [usize; 2] = [1200, 100];

fn main() {
    println!(
        "{:<20} {:>5} {:>12} {:>12} {:>12}",
        "profile", "bytes", "seal ns", "copy+seal ns", "open ns"
    );
    for profile in SrtpProfile::PREFERENCE {
        for size in SIZES {
            let in_place = best_ns(|| seal_in_place(profile, size));
            let from_shared = best_ns(|| seal_from_shared(profile, size));
            let open = best_ns(|| open(profile, size));
            let name = format!("{profile:?}");
            println!("{name:<20} {size:>5} {in_place:>12.0} {from_shared:>12.0} {open:>12.0}");
        }
    }
}

/// Best of several rounds, per packet.
fn best_ns(mut round: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

fn packet(size: usize) -> Vec<u8> {
    let mut packet = vec![0x55; size + MAX_TRAILER_LEN];
    packet[..HEADER_LEN].copy_from_slice(&[
        0x90, 96, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xBE, 0xDE, 0, 1, 0x10, 0xAA, 0, 0,
    ]);
    packet
}

fn keys(profile: SrtpProfile, at: usize) -> (Vec<u8>, Vec<u8>) {
    (vec![at as u8; profile.key_len()], vec![at as u8; profile.salt_len()])
}

fn senders(profile: SrtpProfile) -> Vec<SrtpSender> {
    (0..KEYS)
        .filter_map(|at| {
            let (key, salt) = keys(profile, at);
            SrtpSender::new(profile, &key, &salt).ok()
        })
        .collect()
}

fn per_packet_ns(start: Instant, packets: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / packets as f64
}

fn seal_in_place(profile: SrtpProfile, size: usize) -> f64 {
    let mut senders = senders(profile);
    let mut packet = packet(size);
    let start = Instant::now();
    for index in 0..PACKETS_PER_ROUND {
        packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
        let sender = &mut senders[index as usize % KEYS];
        let _ = black_box(sender.protect_rtp(index, &mut packet, HEADER_LEN, size));
    }
    per_packet_ns(start, PACKETS_PER_ROUND)
}

fn seal_from_shared(profile: SrtpProfile, size: usize) -> f64 {
    let mut senders = senders(profile);
    let shared = packet(size);
    let mut out = packet(size);
    let start = Instant::now();
    for index in 0..PACKETS_PER_ROUND {
        out[..HEADER_LEN].copy_from_slice(&shared[..HEADER_LEN]);
        out[2..4].copy_from_slice(&(index as u16).to_be_bytes());
        let payload = &shared[HEADER_LEN..size];
        let sender = &mut senders[index as usize % KEYS];
        let _ = black_box(sender.protect_rtp_from(index, &mut out, HEADER_LEN, 0, payload));
    }
    per_packet_ns(start, PACKETS_PER_ROUND)
}

/// Opening includes a copy of the packet, which the network would have brought.
fn open(profile: SrtpProfile, size: usize) -> f64 {
    let mut senders = senders(profile);
    let mut receivers: Vec<SrtpReceiver> = (0..KEYS)
        .filter_map(|at| {
            let (key, salt) = keys(profile, at);
            SrtpReceiver::new(profile, &key, &salt).ok()
        })
        .collect();
    let sealed: Vec<Vec<u8>> = (0..KEYS as u64 + OPENED_PER_ROUND)
        .map(|index| {
            let mut packet = packet(size);
            packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
            let sender = &mut senders[index as usize % KEYS];
            let len = sender.protect_rtp(index, &mut packet, HEADER_LEN, size).unwrap_or(0);
            packet.truncate(len);
            packet
        })
        .collect();
    let mut buffer = packet(size);
    let mut open_all = |from: usize, sealed: &[Vec<u8>]| {
        for (at, packet) in sealed.iter().enumerate() {
            let buffer = &mut buffer[..packet.len()];
            buffer.copy_from_slice(packet);
            if let Ok(view) = RtpView::parse(buffer) {
                let opened = receivers[(from + at) % KEYS].unprotect_rtp(buffer, &view);
                assert!(opened.is_ok());
            }
        }
    };
    // The first packet of each makes its source's window; that is not what is measured.
    let (first, others) = sealed.split_at(KEYS);
    open_all(0, first);
    let start = Instant::now();
    open_all(KEYS, others);
    per_packet_ns(start, OPENED_PER_ROUND)
}
