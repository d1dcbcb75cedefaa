//! Two associations on a virtual clock, over a path that loses and reorders.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::dcep::Dcep;
use super::outward::MAX_HELD_MESSAGES;
use super::packet::tests::{chunk, data_chunk, packet, reseal};
use super::*;

const MS: Duration = Duration::from_millis(1);

struct End {
    sctp: SctpAssociation,
    events: Vec<SctpEvent>,
    sent: Vec<Bytes>,
}

impl End {
    fn new(role: Role, now: Instant) -> Self {
        Self { sctp: SctpAssociation::new(role, now), events: vec![], sent: vec![] }
    }

    fn messages(&self) -> Vec<(u16, bool, &[u8])> {
        let message = |event| match event {
            &SctpEvent::Message { channel, binary, ref data } => {
                Some((channel, binary, data.as_ref()))
            }
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }

    fn opened(&self) -> Vec<(u16, &str)> {
        let opened = |event| match event {
            &SctpEvent::ChannelOpened { channel, ref config } => {
                Some((channel, config.label.as_str()))
            }
            _ => None,
        };
        self.events.iter().filter_map(opened).collect()
    }
}

struct Pair {
    now: Instant,
    rng: StdRng,
    loss: f64,
    max_delay_ms: u32,
    client: End,
    server: End,
    in_flight: Vec<(Instant, bool, Bytes)>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            rng: StdRng::seed_from_u64(seed),
            loss: 0.0,
            max_delay_ms: 1,
            client: End::new(Role::Client, now),
            server: End::new(Role::Server, now),
            in_flight: vec![],
        }
    }

    fn up() -> Self {
        let mut pair = Self::new(1);
        pair.run(100);
        assert!(pair.client.sctp.is_up() && pair.server.sctp.is_up());
        pair
    }

    fn collect(&mut self) {
        for to_server in [true, false] {
            let end = if to_server { &mut self.client } else { &mut self.server };
            while let Some(packet) = end.sctp.poll_transmit() {
                assert!(packet.len() <= MAX_DATA_LEN, "{} bytes", packet.len());
                end.sent.push(packet.clone());
                if !self.rng.random_bool(self.loss) {
                    let delay = MS * self.rng.random_range(1..=self.max_delay_ms);
                    self.in_flight.push((self.now + delay, to_server, packet));
                }
            }
            end.events.extend(std::iter::from_fn(|| end.sctp.poll_event()));
        }
    }

    /// Runs for some time, from one arrival or deadline to the next.
    fn run(&mut self, duration_ms: u32) {
        let end = self.now + MS * duration_ms;
        for _ in 0..200_000 {
            self.collect();
            let arrivals = self.in_flight.iter().map(|flight| flight.0);
            let deadlines = [self.client.sctp.poll_timeout(), self.server.sctp.poll_timeout()];
            let next = deadlines.into_iter().flatten().chain(arrivals).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            let now = self.now;
            let due;
            (due, self.in_flight) =
                std::mem::take(&mut self.in_flight).into_iter().partition(|flight| flight.0 <= now);
            for (_, to_server, packet) in due {
                let end = if to_server { &mut self.server } else { &mut self.client };
                end.sctp.handle_packet(&packet, now);
            }
            self.client.sctp.handle_timeout(now);
            self.server.sctp.handle_timeout(now);
        }
        unreachable!("never comes to rest");
    }

    fn open(&mut self, config: ChannelConfig) -> u16 {
        let id = self.client.sctp.open_channel(config, self.now).unwrap();
        self.run(50);
        id
    }

    fn send(&mut self, channel: u16, data: &[u8]) -> Result<(), SendError> {
        self.client.sctp.send(channel, true, &Bytes::copy_from_slice(data), self.now)
    }

    /// The tag that packets to the server carry.
    fn server_tag(&self) -> u32 {
        let last = self.client.sent.last().unwrap();
        u32::from_be_bytes([last[4], last[5], last[6], last[7]])
    }
}

#[test]
fn channels_open_from_either_side_with_their_own_ids() {
    let mut pair = Pair::new(1);
    let early = pair.client.sctp.open_channel(ChannelConfig::reliable("reliable"), pair.now);
    assert_eq!(early, Ok(0));
    pair.run(100);
    assert_eq!(pair.server.events[0], SctpEvent::Up);
    assert_eq!(pair.server.opened(), [(0, "reliable")]);
    assert_eq!(pair.open(ChannelConfig::lossy("lossy")), 2);
    let ours = pair.server.sctp.open_channel(ChannelConfig::lossy("server's"), pair.now);
    assert_eq!(ours, Ok(1));
    pair.run(50);
    assert_eq!(pair.server.sctp.channel(2), Some(&ChannelConfig::lossy("lossy")));
    assert_eq!(pair.client.opened(), [(1, "server's")]);
}

#[test]
fn text_bytes_and_emptiness_arrive_as_they_were() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::reliable("reliable"));
    for (binary, data) in [(false, &b"text"[..]), (true, b"\0bytes"), (false, b""), (true, b"")] {
        pair.client.sctp.send(id, binary, &Bytes::copy_from_slice(data), pair.now).unwrap();
        pair.server.sctp.send(id, binary, &Bytes::copy_from_slice(data), pair.now).unwrap();
    }
    pair.run(50);
    let expected =
        [(id, false, &b"text"[..]), (id, true, b"\0bytes"), (id, false, b""), (id, true, b"")];
    assert_eq!(pair.server.messages(), expected);
    assert_eq!(pair.client.messages(), expected);
}

#[test]
fn negotiated_channels_need_no_dcep() {
    let mut pair = Pair::new(1);
    for end in [&mut pair.client, &mut pair.server] {
        end.sctp.add_negotiated(100, ChannelConfig::reliable("known")).unwrap();
        assert_eq!(
            end.sctp.add_negotiated(100, ChannelConfig::default()),
            Err(OpenError::NoneFree)
        );
    }
    pair.run(100);
    pair.send(100, b"hello").unwrap();
    pair.run(50);
    assert_eq!(pair.server.messages(), [(100, true, &b"hello"[..])]);
    assert!(pair.server.opened().is_empty());
}

#[test]
fn the_longest_message_passes_and_a_longer_one_does_not() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::reliable("reliable"));
    let longest = vec![7; MAX_MESSAGE_LEN];
    assert_eq!(pair.send(id, &[7; MAX_MESSAGE_LEN + 1]), Err(SendError::TooBig));
    assert_eq!(pair.send(id + 2, b"x"), Err(SendError::NoChannel));
    pair.send(id, &longest).unwrap();
    pair.run(500);
    assert_eq!(pair.server.messages(), [(id, true, longest.as_slice())]);
    assert_eq!(pair.client.sctp.buffered_amount(id), 0);
}

#[test]
fn reliable_messages_survive_loss_in_order() {
    for seed in 0..8 {
        let mut pair = Pair::new(seed);
        (pair.loss, pair.max_delay_ms) = (0.15, 40);
        let id = pair.client.sctp.open_channel(ChannelConfig::reliable("r"), pair.now).unwrap();
        pair.run(20_000);
        let sent: Vec<Vec<u8>> = (0..200u8).map(|n| vec![n; 1 + usize::from(n) * 20]).collect();
        for message in &sent {
            pair.send(id, message).unwrap();
        }
        pair.run(120_000);
        let got: Vec<&[u8]> = pair.server.messages().into_iter().map(|m| m.2).collect();
        assert_eq!(got, sent, "seed {seed}");
    }
}

#[test]
fn lossy_messages_are_dropped_late_ones_do_not_block() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::lossy("lossy"));
    (pair.loss, pair.max_delay_ms) = (0.2, 30);
    for n in 0..200u8 {
        pair.send(id, &[n; 100]).unwrap();
        pair.run(20);
    }
    pair.loss = 0.0;
    pair.run(10_000);
    let got = pair.server.messages().len();
    assert!((120..195).contains(&got), "{got}");
    assert_eq!(pair.client.sctp.buffered_amount(id), 0);
    pair.send(id, b"last").unwrap();
    pair.run(1000);
    assert_eq!(pair.server.messages().last().unwrap().2, b"last");
}

#[test]
fn a_lossy_channel_drops_what_would_be_stale() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::lossy("lossy"));
    let results: Vec<_> = (0..100).map(|_| pair.send(id, &[1; 1000])).collect();
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(accepted, 65, "64 KiB of 1000 bytes");
    assert_eq!(pair.client.sctp.stats().dropped_messages, 35);
    assert!(!pair.client.events.contains(&SctpEvent::Stalled));
    pair.run(2000);
    assert_eq!(pair.server.messages().len(), 65);
    pair.send(id, &[1; 1000]).unwrap();
}

#[test]
fn large_lossy_messages_do_not_wait_for_a_late_acknowledgement() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::lossy("lossy"));
    for _ in 0..50 {
        pair.send(id, &[1; 48_000]).unwrap();
        pair.run(20);
    }
    pair.run(1000);
    assert_eq!(pair.server.messages().len(), 50);
}

#[test]
fn a_receiver_that_stays_full_is_reported_and_memory_stays_bounded() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::reliable("reliable"));
    pair.loss = 1.0;
    let mut full = 0;
    for _ in 0..60 {
        for _ in 0..50 {
            full += usize::from(pair.send(id, &[1; 10_000]) == Err(SendError::Full));
        }
        pair.run(100);
        assert!(pair.client.sctp.buffered_amount(id) <= MAX_RELIABLE_BUFFER);
    }
    assert!(full > 2000, "{full}");
    assert_eq!(pair.client.events.iter().filter(|e| **e == SctpEvent::Stalled).count(), 1);
}

#[test]
fn tiny_messages_are_bounded_by_their_number() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::reliable("reliable"));
    pair.run(500); // The OPEN counts until it is acknowledged.
    pair.loss = 1.0;
    let accepted = (0..10_000).filter(|_| pair.send(id, b"x").is_ok()).count();
    assert_eq!(accepted, MAX_HELD_MESSAGES);
    pair.loss = 0.0;
    pair.run(30_000);
    assert_eq!(pair.server.messages().len(), MAX_HELD_MESSAGES);
    assert_eq!(pair.client.sctp.buffered_amount(id), 0);
}

#[test]
fn closed_channels_are_reported_and_their_ids_come_back() {
    let mut pair = Pair::up();
    for round in 0..5 {
        let id = pair.open(ChannelConfig::reliable("again"));
        assert_eq!(id, 0, "round {round}");
        pair.send(id, b"x").unwrap();
        pair.run(300);
        pair.client.sctp.close_channel(id, pair.now);
        assert_eq!(pair.send(id, b"x"), Err(SendError::NoChannel));
        pair.run(2000);
        assert!(pair.server.sctp.channel(id).is_none());
    }
    let closed =
        pair.server.events.iter().filter(|e| **e == SctpEvent::ChannelClosed { channel: 0 });
    assert_eq!(closed.count(), 5);
    assert_eq!(pair.server.messages().len(), 5);
}

#[test]
fn a_peer_may_open_so_many_channels() {
    let mut pair = Pair::up();
    let tag = pair.server_tag();
    let first = pair.server.sctp.acknowledged.wrapping_add(1);
    let open = Dcep::Open(ChannelConfig::reliable("x")).build().unwrap();
    for n in 0..200u16 {
        let chunk = data_chunk(first.wrapping_add(u32::from(n)), n * 2, 50, &open);
        pair.server.sctp.handle_packet(&packet(tag, &chunk), pair.now);
    }
    pair.run(1);
    assert_eq!(pair.server.opened().len(), MAX_CHANNELS);
    assert_eq!(pair.server.sctp.stats().rejected_channels, 200 - MAX_CHANNELS as u64);
    let none = pair.server.sctp.open_channel(ChannelConfig::default(), pair.now);
    assert_eq!(none, Err(OpenError::NoneFree));
}

#[test]
fn hostile_dcep_and_stray_data_change_nothing() {
    let mut pair = Pair::up();
    let tag = pair.server_tag();
    let mut tsn = pair.server.sctp.acknowledged;
    let mut long_label = vec![3, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0];
    long_label.extend([b'x'; 900]);
    let stray: [(u32, &[u8]); 5] =
        [(50, &long_label), (50, &[3]), (50, &[9; 20]), (53, b"no channel"), (77, b"unknown")];
    for (stream, (ppid, data)) in stray.into_iter().enumerate() {
        tsn = tsn.wrapping_add(1);
        let chunk = data_chunk(tsn, stream as u16, ppid, data);
        pair.server.sctp.handle_packet(&packet(tag, &chunk), pair.now);
    }
    assert_eq!(pair.server.sctp.stats().rejected_channels, 3);
    assert_eq!(pair.server.sctp.stats().rejected_messages, 2);
    assert!(pair.server.sctp.is_up());
    assert!(pair.server.sctp.channels.is_empty());
}

#[test]
fn init_flood_and_forged_cookies_leave_a_live_association_alone() {
    let mut pair = Pair::up();
    let id = pair.open(ChannelConfig::reliable("reliable"));
    let first_init = pair.client.sent[0].clone();
    for n in 0..2000u32 {
        let mut init = n.to_be_bytes().to_vec();
        init.extend([0, 1, 0, 0, 0, 9, 0, 9, 0, 0, 0, 1]);
        pair.server.sctp.handle_packet(&packet(0, &chunk(1, 0, &init)), pair.now);
        let cookie = chunk(10, 0, &n.to_be_bytes().repeat(8));
        pair.server.sctp.handle_packet(&packet(pair.server_tag(), &cookie), pair.now);
        pair.server.sctp.handle_packet(&packet(n, &cookie), pair.now);
    }
    pair.server.sctp.handle_packet(&first_init, pair.now);
    assert!(pair.server.sctp.poll_transmit().is_none());
    pair.send(id, b"alive").unwrap();
    pair.run(50);
    assert_eq!(pair.server.messages(), [(id, true, &b"alive"[..])]);
}

#[test]
fn init_flood_before_the_association_is_up_makes_one_association() {
    let mut pair = Pair::new(1);
    for n in 1..500u32 {
        let mut init = n.to_be_bytes().to_vec();
        init.extend([0, 1, 0, 0, 0, 9, 0, 9, 0, 0, 0, 1]);
        pair.client.sctp.handle_packet(&packet(0, &chunk(1, 0, &init)), pair.now);
    }
    pair.run(100);
    assert!(pair.server.sctp.is_up() && pair.client.sctp.is_up());
}

#[test]
fn data_behind_a_gap_is_bounded() {
    let mut pair = Pair::up();
    let tag = pair.server_tag();
    let base = pair.server.sctp.acknowledged;
    for n in 0..20_000u32 {
        let tsn = base.wrapping_add(2 + n);
        let mut chunk = data_chunk(tsn, 0, 53, b"x");
        chunk[1] |= 4; // Unordered: delivered at once, yet remembered for the SACK.
        pair.server.sctp.handle_packet(&packet(tag, &chunk), pair.now);
        while pair.server.sctp.poll_transmit().is_some() {}
    }
    let rejected = pair.server.sctp.stats().rejected_packets;
    assert_eq!(rejected, 20_000 + 1 - 16_384);
    assert!(pair.server.sctp.is_up());
}

#[test]
fn fragments_without_end_lose_the_association_not_the_memory() {
    let mut pair = Pair::up();
    let tag = pair.server_tag();
    let base = pair.server.sctp.acknowledged;
    for n in 0..10_000u32 {
        let mut chunk = data_chunk(base.wrapping_add(1 + n), 0, 53, b"x");
        chunk[1] = if n == 0 { 2 } else { 0 };
        pair.server.sctp.handle_packet(&packet(tag, &chunk), pair.now);
        while pair.server.sctp.poll_transmit().is_some() {}
    }
    assert!(!pair.server.sctp.is_up());
    assert!(std::iter::from_fn(|| pair.server.sctp.poll_event()).any(|e| e == SctpEvent::Lost));
    assert_eq!(pair.server.sctp.poll_timeout(), None);
}

#[test]
fn an_abort_is_heard() {
    let mut pair = Pair::up();
    let abort = packet(pair.server_tag(), &chunk(6, 0, &[0, 12, 0, 4]));
    pair.server.sctp.handle_packet(&abort, pair.now);
    pair.run(1);
    assert_eq!(pair.server.events.last(), Some(&SctpEvent::Lost));
    assert_eq!(pair.server.sctp.send(0, true, &Bytes::new(), pair.now), Err(SendError::NoChannel));
}

/// A chunk that is nearly right: numbers close to those in use, then some bytes changed.
fn nearly_right_chunk(rng: &mut StdRng, peer_tsn: u32, own_tsn: u32) -> Vec<u8> {
    let near = |rng: &mut StdRng, tsn: u32| {
        tsn.wrapping_add(rng.random_range(0..30)).wrapping_sub(10).to_be_bytes()
    };
    let small = |rng: &mut StdRng| [0, rng.random_range(0..6)];
    let (kind, mut body) = match rng.random_range(0..8) {
        0..3 => {
            let ppid = [50, 51, 53, 56, 99][rng.random_range(0..5)];
            let mut body = near(rng, peer_tsn).to_vec();
            body.extend([small(rng), small(rng), [0, 0], [0, ppid]].concat());
            body.extend((0..rng.random_range(1..40)).map(|_| rng.random::<u8>() & 3));
            (0, body)
        }
        3 => {
            let mut body = near(rng, own_tsn).to_vec();
            body.extend([[0, 0], small(rng), small(rng), small(rng)].concat());
            body.extend((0..rng.random_range(0..6)).flat_map(|_| small(rng)));
            (3, body)
        }
        4 => {
            let mut body = near(rng, peer_tsn).to_vec();
            body.extend((0..rng.random_range(0..6)).flat_map(|_| small(rng)));
            ([192, 194][rng.random_range(0..2)], body)
        }
        5 | 6 => {
            let mut body = vec![];
            for _ in 0..rng.random_range(1..3) {
                let streams = rng.random_range(0..4);
                let kind = [13, 14, 15, 16, 17][rng.random_range(0..5)];
                body.extend([0, kind, 0, 16 + 2 * streams as u8]);
                body.extend(
                    [near(rng, peer_tsn), near(rng, own_tsn), near(rng, peer_tsn)].concat(),
                );
                body.extend((0..streams).flat_map(|_| small(rng)));
                body.resize(body.len().next_multiple_of(4), 0);
            }
            (130, body)
        }
        _ => {
            let kind = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 193][rng.random_range(0..13)];
            (kind, (0..rng.random_range(0..40)).map(|_| rng.random::<u8>() & 15).collect())
        }
    };
    if rng.random_bool(0.2) && !body.is_empty() {
        let at = rng.random_range(0..body.len());
        body[at] = rng.random();
    }
    chunk(kind, rng.random_range(0..8), &body)
}

/// Checksums and tags are right, so that everything gets through to the state machine.
#[test]
fn fuzzed_packets_never_get_out_of_hand() {
    let mut rng = StdRng::seed_from_u64(3);
    let (mut lost, mut reached) = (0, 0);
    for round in 0..600 {
        let mut pair = if round % 8 == 0 { Pair::new(round) } else { Pair::up() };
        let mut own_tsn = 0;
        if pair.server.sctp.is_up() {
            let id = pair.open(ChannelConfig::lossy("lossy"));
            pair.send(id, &[1; 3000]).unwrap();
            let data = Bytes::from_static(&[7; 5000]);
            pair.server.sctp.send(id, true, &data, pair.now).unwrap();
            pair.collect();
            let last = pair.server.sent.last().unwrap();
            own_tsn = u32::from_be_bytes([last[16], last[17], last[18], last[19]]);
        }
        pair.collect();
        let captured = pair.client.sent.clone();
        let tag = pair.server_tag();
        for _ in 0..40 {
            let hostile = if rng.random_bool(0.7) {
                let peer_tsn = pair.server.sctp.acknowledged;
                let chunks = (0..rng.random_range(1..5))
                    .flat_map(|_| nearly_right_chunk(&mut rng, peer_tsn, own_tsn));
                let chunks: Vec<u8> = chunks.collect();
                packet(tag, &chunks)
            } else {
                let mut bytes = captured[rng.random_range(0..captured.len())].to_vec();
                for _ in 0..rng.random_range(1..6) {
                    let at = rng.random_range(8..bytes.len());
                    bytes[at] = if rng.random() { rng.random() } else { rng.random_range(0..8) };
                }
                bytes.truncate(rng.random_range(12..=bytes.len()));
                reseal(bytes)
            };
            pair.server.sctp.handle_packet(&hostile, pair.now);
            let answers = std::iter::from_fn(|| pair.server.sctp.poll_transmit()).count();
            assert!(answers <= 30, "{answers} answers to {hostile:?}");
        }
        pair.run(5000);
        reached += pair.server.messages().len() as u64;
        reached += pair.server.sctp.stats().rejected_messages;
        lost += usize::from(pair.server.events.contains(&SctpEvent::Lost));
    }
    assert!(lost < 300 && reached > 200, "{lost} lost, {reached} messages reached");
}
