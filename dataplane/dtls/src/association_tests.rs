//! Two associations on a virtual clock, over a path that loses, doubles and reorders.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::identity::tests::{identity_offering, identity_with, rsa_identity};
use crate::records::tests::{fragment, record};
use crate::*;

const MS: Duration = Duration::from_millis(1);

/// What the path does to each datagram, as shares of 1.
#[derive(Clone, Copy, Default)]
struct Path {
    loss: f64,
    duplication: f64,
    /// Delays are drawn from 1 ms up to this.
    max_delay_ms: u64,
    /// Share of datagrams that are joined by a mutated copy or random bytes.
    garbage: f64,
}

struct End {
    dtls: Dtls,
    events: Vec<DtlsEvent>,
    sent: Vec<Vec<u8>>,
    failed: bool,
}

impl End {
    fn new(identity: &Identity, role: Role, now: Instant) -> Self {
        let dtls = Dtls::new(identity, role, now).unwrap();
        Self { dtls, events: vec![], sent: vec![], failed: false }
    }

    fn keying(&self) -> Option<&SrtpKeying> {
        self.events.iter().find_map(|event| match event {
            DtlsEvent::Connected { srtp } => srtp.as_ref(),
            _ => None,
        })
    }

    fn data(&self) -> Vec<&[u8]> {
        self.events
            .iter()
            .filter_map(|event| match event {
                DtlsEvent::Data(data) => Some(data.as_slice()),
                _ => None,
            })
            .collect()
    }

    fn closed(&self) -> Option<CloseReason> {
        self.events.iter().find_map(|event| match event {
            DtlsEvent::Closed(reason) => Some(*reason),
            _ => None,
        })
    }
}

struct Pair {
    now: Instant,
    rng: StdRng,
    path: Path,
    client: End,
    server: End,
    /// Arrival time, whether towards the server, datagram.
    in_flight: Vec<(Instant, bool, Vec<u8>)>,
}

impl Pair {
    fn new(client: &Identity, server: &Identity, path: Path, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            rng: StdRng::seed_from_u64(seed),
            path,
            client: End::new(client, Role::Client, now),
            server: End::new(server, Role::Server, now),
            in_flight: vec![],
        }
    }

    fn perfect(client: &Identity, server: &Identity) -> Self {
        Self::new(client, server, Path { max_delay_ms: 1, ..Path::default() }, 1)
    }

    fn throw(&mut self, to_server: bool, datagram: Vec<u8>) {
        let delay = self.rng.random_range(1..=self.path.max_delay_ms.max(1)) as u32;
        self.in_flight.push((self.now + MS * delay, to_server, datagram));
    }

    fn collect(&mut self) {
        for to_server in [true, false] {
            loop {
                let end = if to_server { &mut self.client } else { &mut self.server };
                let Some(datagram) = end.dtls.poll_transmit() else { break };
                assert!(datagram.len() <= 1200, "{} bytes", datagram.len());
                end.sent.push(datagram.clone());
                if self.rng.random_bool(self.path.garbage) {
                    let mut bad = datagram.clone();
                    match self.rng.random_range(0..4) {
                        0 => bad.truncate(self.rng.random_range(0..bad.len())),
                        1 => bad = (0..99).map(|_| self.rng.random()).collect(),
                        2 => bad = record(21, 0, &[2, 40]),
                        _ => bad = record(22, 1, &[self.rng.random(); 48]),
                    }
                    self.throw(to_server, bad);
                }
                if self.rng.random_bool(self.path.duplication) {
                    self.throw(to_server, datagram.clone());
                }
                if !self.rng.random_bool(self.path.loss) {
                    self.throw(to_server, datagram);
                }
            }
        }
        for end in [&mut self.client, &mut self.server] {
            end.events.extend(std::iter::from_fn(|| end.dtls.poll_event()));
        }
    }

    /// Advances to the next arrival or deadline. False when neither is left.
    fn step(&mut self) -> bool {
        self.collect();
        let arrival = self.in_flight.iter().map(|flight| flight.0).min();
        let deadlines = [self.client.dtls.poll_timeout(), self.server.dtls.poll_timeout()];
        let Some(next) = deadlines.into_iter().flatten().chain(arrival).min() else {
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        let due;
        (due, self.in_flight) =
            std::mem::take(&mut self.in_flight).into_iter().partition(|flight| flight.0 <= now);
        for (_, to_server, datagram) in due {
            let end = if to_server { &mut self.server } else { &mut self.client };
            if let Err(DtlsError::HandshakeFailed(_)) = end.dtls.handle_datagram(&datagram, now) {
                end.failed = true;
            }
        }
        self.client.dtls.handle_timeout(now);
        self.server.dtls.handle_timeout(now);
        self.collect();
        true
    }

    fn run(&mut self) {
        for _ in 0..20_000 {
            if !self.step() {
                return;
            }
        }
        unreachable!("never comes to rest");
    }

    fn both_connected(&self) -> bool {
        self.client.dtls.is_connected() && self.server.dtls.is_connected()
    }
}

fn ecdsa_pair() -> (Identity, Identity) {
    (Identity::generate().unwrap(), Identity::generate().unwrap())
}

#[test]
fn handshake_yields_the_same_keys_and_each_others_fingerprint() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    let start = pair.now;
    pair.run();
    assert!(pair.both_connected());
    assert!(pair.now - start < MS * 10, "no timer was needed");
    let keying = pair.server.keying().unwrap();
    assert_eq!(keying.profile(), SrtpProfile::AeadAes128Gcm);
    assert_eq!(pair.client.keying(), Some(keying));
    assert_eq!(pair.server.dtls.peer_fingerprint(HashKind::Sha256), Some(client.fingerprint()));
    assert_eq!(pair.client.dtls.peer_fingerprint(HashKind::Sha256), Some(server.fingerprint()));
    assert_eq!(pair.server.dtls.peer_fingerprint(HashKind::Sha512).unwrap().bytes().len(), 64);
    assert!(pair.client.dtls.peer_certificate_der().unwrap().len() > 100);
    assert_eq!(pair.server.sent.len(), 2, "each flight of the server is one datagram");
}

#[test]
fn server_chooses_the_profile_by_its_own_order() {
    use SrtpProfile::*;
    let server = Identity::generate().unwrap();
    for (offered, chosen) in [
        (&[Aes128CmSha1_80, AeadAes256Gcm, AeadAes128Gcm][..], AeadAes128Gcm),
        (&[AeadAes256Gcm, Aes128CmSha1_80], Aes128CmSha1_80),
        (&[AeadAes256Gcm], AeadAes256Gcm),
    ] {
        let mut pair = Pair::perfect(&identity_offering(offered), &server);
        pair.run();
        let keying = pair.client.keying().unwrap();
        assert_eq!(keying.profile(), chosen, "{offered:?}");
        assert_eq!(pair.server.keying(), Some(keying));
    }
}

#[test]
fn rsa_peers_are_accepted_on_either_side() {
    let ecdsa = Identity::generate().unwrap();
    let rsa = rsa_identity(2048);
    for (client, server) in [(&rsa, &ecdsa), (&ecdsa, &rsa)] {
        let mut pair = Pair::perfect(client, server);
        pair.run();
        assert!(pair.both_connected());
    }
}

#[test]
fn data_flows_both_ways_and_keeps_record_bounds() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    assert!(matches!(pair.client.dtls.send(b"early"), Err(DtlsError::NotConnected)));
    pair.run();
    let long = vec![7; MAX_DATA_LEN];
    pair.client.dtls.send(b"one").unwrap();
    pair.client.dtls.send(&long).unwrap();
    pair.server.dtls.send(b"two").unwrap();
    assert!(matches!(pair.client.dtls.send(&vec![7; MAX_DATA_LEN + 1]), Err(DtlsError::BadLength)));
    assert!(matches!(pair.client.dtls.send(&[]), Err(DtlsError::BadLength)));
    pair.run();
    assert_eq!(pair.server.data(), [b"one", long.as_slice()]);
    assert_eq!(pair.client.data(), [b"two"]);
}

#[test]
fn close_is_heard_and_final() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    pair.run();
    pair.client.dtls.close();
    pair.run();
    assert_eq!(pair.client.closed(), Some(CloseReason::Local));
    assert_eq!(pair.server.closed(), Some(CloseReason::Peer));
    assert!(matches!(pair.server.dtls.send(b"late"), Err(DtlsError::Closed)));
    assert!(matches!(
        pair.client.dtls.handle_datagram(&[20; 50], pair.now),
        Err(DtlsError::Closed)
    ));
}

#[test]
fn loss_duplication_and_reordering_are_survived() {
    let (client, server) = (rsa_identity(2048), Identity::generate().unwrap());
    let mut retransmits = 0;
    for seed in 0..60 {
        let path = Path { loss: 0.25, duplication: 0.3, max_delay_ms: 60, garbage: 0.3 };
        let mut pair = Pair::new(&client, &server, path, seed);
        while !pair.both_connected() && pair.step() {}
        assert!(pair.both_connected(), "seed {seed}: {:?}", pair.server.closed());
        assert_eq!(pair.client.keying(), pair.server.keying());
        pair.path = Path { max_delay_ms: 1, ..Path::default() };
        pair.client.dtls.send(b"through").unwrap();
        pair.run();
        assert_eq!(pair.server.data(), [b"through"], "seed {seed}");
        retransmits += pair.client.dtls.stats().retransmits + pair.server.dtls.stats().retransmits;
    }
    assert!(retransmits > 60, "{retransmits}");
}

#[test]
fn silence_is_met_with_doubled_waits_and_an_end() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::new(&client, &server, Path { loss: 1.0, ..Path::default() }, 1);
    let start = pair.now;
    let mut sent_at = vec![];
    while pair.client.closed().is_none() {
        let before = pair.client.sent.len();
        assert!(pair.step());
        if pair.client.sent.len() > before {
            sent_at.push((pair.now - start).as_millis());
        }
    }
    assert_eq!(sent_at[..8], [100, 300, 700, 1500, 3100, 6300, 10_300, 14_300]);
    assert_eq!(pair.now - start, Duration::from_secs(30));
    assert_eq!(pair.client.closed(), Some(CloseReason::Timeout));
    assert_eq!(pair.server.closed(), Some(CloseReason::Timeout));
    assert_eq!(pair.client.dtls.poll_timeout(), None);
}

#[test]
fn a_repeated_last_flight_is_answered() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    while !pair.server.dtls.is_connected() {
        assert!(pair.step());
    }
    // The server's last flight is lost: only the client's timer can bring it back.
    pair.in_flight.clear();
    assert!(!pair.client.dtls.is_connected());
    pair.run();
    assert!(pair.both_connected());
    assert_eq!(pair.client.dtls.stats().retransmits, 1);
    assert_eq!(pair.server.dtls.stats().retransmits, 0);
}

#[test]
fn endless_repeats_of_the_last_flight_do_not_end_the_association() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    while !pair.server.dtls.is_connected() {
        assert!(pair.step());
    }
    let mut answers = 0;
    for _ in 0..40 {
        pair.in_flight.clear();
        let Some(at) = pair.client.dtls.poll_timeout() else { break };
        pair.client.dtls.handle_timeout(at);
        while let Some(datagram) = pair.client.dtls.poll_transmit() {
            pair.server.dtls.handle_datagram(&datagram, at).unwrap();
        }
        answers += usize::from(pair.server.dtls.poll_transmit().is_some());
        while pair.server.dtls.poll_transmit().is_some() {}
    }
    assert!((5..=12).contains(&answers), "{answers}");
    assert!(pair.server.dtls.is_connected());
}

#[test]
fn unauthenticated_records_do_not_end_a_live_association() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    pair.run();
    let hello = Dtls::new(&client, Role::Client, pair.now).unwrap().poll_transmit().unwrap();
    let mut hostile = vec![
        record(21, 0, &[1, 0]),
        record(21, 0, &[2, 10]),
        record(21, 1, &[0; 26]),
        record(23, 0, b"plaintext"),
        record(23, 1, &[9; 60]),
        record(22, 1, &[9; 48]),
        record(22, 1, &[9; 400]),
        record(20, 0, &[1]),
        hello.clone(),
        vec![20],
        vec![63; 2000],
    ];
    hostile.extend(pair.client.sent.clone());
    for datagram in hostile {
        pair.server.dtls.handle_datagram(&datagram, pair.now).unwrap();
        pair.client.dtls.handle_datagram(&datagram, pair.now).unwrap();
    }
    pair.run();
    assert!(pair.both_connected());
    assert_eq!((pair.client.closed(), pair.server.closed()), (None, None));
    pair.client.dtls.send(b"still here").unwrap();
    pair.run();
    assert_eq!(pair.server.data(), [b"still here"]);
}

/// Records of the encrypted epoch that nobody encrypted, also too short to have been: dropped under each
/// kind of cipher, whose own shortest records pass.
#[test]
fn forged_records_of_any_length_do_not_end_a_live_association() {
    let server = Identity::generate().unwrap();
    for cipher in ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"] {
        let client = identity_with(&format!("ECDHE-ECDSA-{cipher}"));
        let mut pair = Pair::perfect(&client, &server);
        pair.run();
        let lens = (0..=80).chain([1000, 1200, 16_383, 16_384, 16_640, 16_641, 18_433, 40_000]);
        for len in lens {
            for (kind, fill) in [(21, 0), (21, 0xFF), (22, 1), (22, 0xFF), (23, 0), (23, 0xFF)] {
                let datagram = record(kind, 1, &vec![fill; len]);
                pair.server.dtls.handle_datagram(&datagram, pair.now).unwrap();
                pair.client.dtls.handle_datagram(&datagram, pair.now).unwrap();
                pair.collect();
                let closed = (pair.client.closed(), pair.server.closed());
                assert_eq!(closed, (None, None), "{cipher}: {len} bytes of kind {kind}");
            }
        }
        pair.run();
        assert!(pair.both_connected());
        pair.client.dtls.send(b"!").unwrap();
        pair.run();
        assert_eq!(pair.server.data(), [b"!"], "{cipher}");
        pair.server.dtls.close();
        pair.run();
        assert_eq!(pair.client.closed(), Some(CloseReason::Peer), "{cipher}");
    }
}

/// The same before there are keys, at every moment of the handshake.
#[test]
fn forged_encrypted_records_do_not_fail_a_handshake() {
    let (client, server) = ecdsa_pair();
    for len in [0, 1, 2, 8, 16, 23, 24, 25, 26, 40, 48, 64, 65, 400, 1100] {
        for kind in [20, 21, 22, 23] {
            let mut pair = Pair::perfect(&client, &server);
            for _ in 0..200 {
                let forged = record(kind, 1, &vec![7; len]);
                let _ = pair.server.dtls.handle_datagram(&forged, pair.now);
                let _ = pair.client.dtls.handle_datagram(&forged, pair.now);
                if pair.both_connected() || !pair.step() {
                    break;
                }
            }
            let closed = (pair.client.closed(), pair.server.closed());
            assert!(pair.both_connected(), "{len} bytes of kind {kind}: {closed:?}");
        }
    }
}

/// A ClientHello that OpenSSL cannot accept: one cipher suite, TLS_RSA_WITH_NULL_SHA.
fn null_cipher_hello() -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend([5; 32]);
    body.extend([0, 0, 0, 2, 0x00, 0x02, 1, 0]);
    record(22, 0, &fragment(1, body.len() as u32, 0, &body))
}

#[test]
fn a_bad_hello_before_the_real_one_is_forgiven_in_silence() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    for hello in [null_cipher_hello(), record(22, 0, &fragment(1, 90, 0, &[0xFF; 90]))] {
        pair.server.dtls.handle_datagram(&hello, pair.now).unwrap();
        assert!(pair.server.dtls.poll_transmit().is_none(), "no alert to a stranger");
    }
    assert_eq!(pair.server.dtls.stats().restarts, 2);
    pair.run();
    assert!(pair.both_connected());
}

#[test]
fn a_bad_hello_after_the_real_one_changes_nothing() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    while pair.server.sent.is_empty() {
        assert!(pair.step());
    }
    pair.server.dtls.handle_datagram(&null_cipher_hello(), pair.now).unwrap();
    pair.run();
    assert!(pair.both_connected());
}

#[test]
fn hellos_without_end_are_given_up() {
    let server = Identity::generate().unwrap();
    let now = Instant::now();
    let mut dtls = Dtls::new(&server, Role::Server, now).unwrap();
    let failed = (0..100).position(|_| {
        matches!(
            dtls.handle_datagram(&null_cipher_hello(), now),
            Err(DtlsError::HandshakeFailed(_))
        )
    });
    assert_eq!(failed, Some(16));
    assert_eq!(dtls.poll_event(), Some(DtlsEvent::Closed(CloseReason::HandshakeFailed)));
}

/// The same hello in small pieces, each in a datagram of its own.
fn in_pieces(hello: &[u8], piece_len: usize) -> Vec<Vec<u8>> {
    let body = &hello[25..];
    body.chunks(piece_len)
        .enumerate()
        .map(|(index, piece)| {
            let offset = (index * piece_len) as u32;
            let mut datagram = record(22, 0, &fragment(1, body.len() as u32, offset, piece));
            datagram[10] = index as u8;
            datagram
        })
        .collect()
}

#[test]
fn a_hello_in_pieces_is_put_together_in_any_order() {
    let (client, server) = ecdsa_pair();
    for reversed in [false, true] {
        let mut pair = Pair::perfect(&client, &server);
        let hello = pair.client.dtls.poll_transmit().unwrap();
        let mut pieces = in_pieces(&hello, 40);
        assert!(pieces.len() > 3);
        if reversed {
            pieces.reverse();
        }
        for piece in pieces.iter().flat_map(|piece| [piece, piece]) {
            pair.server.dtls.handle_datagram(piece, pair.now).unwrap();
        }
        pair.collect();
        assert_eq!(pair.server.sent.len(), 1, "answered once");
        // The pieces took record numbers that the client uses too: its timer mends that.
        pair.run();
        assert!(pair.both_connected(), "reversed: {reversed}");
    }
}

#[test]
fn mutated_handshakes_end_cleanly() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    pair.run();
    let flights = [pair.client.sent.clone(), pair.server.sent.clone()];
    let mut rng = StdRng::seed_from_u64(7);
    for round in 0..1500 {
        let now = pair.now;
        let role = if round % 2 == 0 { Role::Server } else { Role::Client };
        let identity = if role == Role::Server { &server } else { &client };
        let mut dtls = Dtls::new(identity, role, now).unwrap();
        for datagram in &flights[round % 2] {
            let mut bad = datagram.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bad.len());
                bad[at] = rng.random();
            }
            let _ = dtls.handle_datagram(&bad, now);
            let _ = dtls.handle_datagram(&bad[..rng.random_range(0..bad.len())], now);
        }
        assert!(!dtls.is_connected());
        assert!(openssl::error::ErrorStack::get().errors().is_empty(), "queue left clean");
    }
}

#[test]
fn a_certificate_without_its_key_is_not_believed() {
    let (client, server) = ecdsa_pair();
    let mut pair = Pair::perfect(&client, &server);
    while !pair.server.dtls.is_connected() {
        assert_eq!(pair.server.dtls.peer_fingerprint(HashKind::Sha256), None);
        assert!(pair.step());
    }
    assert!(pair.server.dtls.peer_fingerprint(HashKind::Sha256).is_some());
}
