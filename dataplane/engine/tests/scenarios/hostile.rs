//! What strangers and authenticated clients may send, and what must not happen then: the other
//! call goes on untouched, tables stay small, each packet is counted under its reason.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use airside_engine::codec::Codec;
use airside_engine::command::{
    AddSlot, AddTrack, Command, LayerSpec, MediaKind, ReceiveCodec, SendCodec, Source, Target,
};
use airside_engine::error::DropReason;
use airside_engine::ids::{SlotId, TapId, TrackId};
use airside_engine::rtcp;
use airside_engine::stun::{IceRole, Message};

use crate::sim::{Layers, ROOM, RawClient, Sim, Subscribed, sign, wish};

const TAP: TapId = TapId(77);

/// A call that must not notice anything, beside a hostile client that publishes one audio track.
struct Scene {
    sim: Sim,
    witness: Subscribed,
    attacker: RawClient,
    track: TrackId,
}

fn scene(seed: u64) -> Scene {
    let mut sim = Sim::new(seed, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let witness = sim.subscribe(&mut microphone, bob);
    let attacker = RawClient::connect(&mut sim);
    let track = TrackId(sim.new_id());
    let transport = attacker.peer.transport;
    sim.command(
        0,
        Command::AddTrack(AddTrack {
            track,
            room: ROOM,
            source: Source::Transport { transport, mid: "0".into() },
            kind: MediaKind::Video,
            codecs: vec![ReceiveCodec {
                payload_type: 96,
                codec: Codec::Vp8,
                clock_rate: 90_000,
                rtx_payload_type: Some(97),
                nack: true,
                pli: true,
                fir: false,
                format: 1,
            }],
            layers: vec![LayerSpec { ssrc: Some(5), rtx_ssrc: Some(6), ..LayerSpec::default() }],
            screen: false,
            encrypted: false,
            muted: false,
            cname: String::new(),
        }),
    );
    sim.command(0, Command::AddTarget { track, target: Target::Tap(TAP) });
    sim.run_ms(500);
    sim.take_received(witness);
    Scene { sim, witness, attacker, track }
}

impl Scene {
    /// The other call lost nothing and was never late.
    fn assert_undisturbed(&mut self) {
        self.sim.run_ms(200);
        let packets = self.sim.take_received(self.witness);
        assert!(packets.len() >= 9, "{}", packets.len());
        for pair in packets.windows(2) {
            assert_eq!(pair[1].ext_seq, pair[0].ext_seq + 1);
            assert!(pair[1].arrival - pair[0].arrival < Duration::from_millis(40));
        }
        let stats = self.sim.nodes[0].engine.stats(self.sim.now);
        assert_eq!(stats.total("worker", "transports"), 3, "nobody was closed");
        assert_eq!(self.sim.failures(), Vec::<String>::new());
    }

    fn tapped(&self) -> usize {
        self.sim.nodes[0].taps.get(&TAP).map_or(0, Vec::len)
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.sim.dropped(0, reason)
    }
}

#[test]
fn random_datagrams_of_every_first_byte_from_strangers_and_from_the_client() {
    let mut scene = scene(101);
    let mut random = SmallRng::seed_from_u64(1);
    let stranger = SocketAddr::from(([6, 6, 6, 6], 666));
    let before = scene.sim.nodes[0].engine.stats(scene.sim.now).total("worker", "addresses");
    for round in 0..20_000u32 {
        let len = random.random_range(0..if round % 10 == 0 { 1500 } else { 60 });
        let mut data = vec![0; len];
        random.fill_bytes(&mut data);
        if let Some(first) = data.first_mut() {
            *first = round as u8;
        }
        if (20..64).contains(&(round as u8)) && len > 1 && round % 3 == 0 {
            data[1] = 0xFE;
        }
        let from = if round % 2 == 0 { stranger } else { scene.attacker.address };
        scene.attacker.send_from(&mut scene.sim, from, &data);
    }
    let after = scene.sim.nodes[0].engine.stats(scene.sim.now).total("worker", "addresses");
    assert_eq!(before, after, "strangers make no state");
    scene.sim.strays.clear();
    scene.assert_undisturbed();
}

#[test]
fn truncations_of_every_valid_kind_of_datagram() {
    let mut scene = scene(102);
    let check = scene.attacker.check(|_| {});
    let media = scene.attacker.rtp(5, 96, 1, &[0x10; 40]);
    let mut compound = Vec::new();
    rtcp::write_rr(&mut compound, 1, &[]);
    let report = scene.attacker.rtcp(&compound);
    let mut dtls = airside_dtls::Dtls::new(
        &scene.attacker.identity,
        airside_dtls::Role::Client,
        scene.sim.now,
    )
    .unwrap();
    let hello = dtls.poll_transmit().unwrap();
    for datagram in [check, media, report, hello] {
        for len in 0..datagram.len() {
            scene.attacker.send(&mut scene.sim, &datagram[..len]);
        }
    }
    scene.assert_undisturbed();
    assert_eq!(scene.tapped(), 0);
}

#[test]
fn stun_without_a_right_password_moves_nothing_and_is_answered_with_less() {
    let mut scene = scene(103);
    let stranger = SocketAddr::from(([6, 6, 6, 6], 666));
    let selected = scene.attacker.address;
    let good = scene.attacker.check(|check| check.priority = u32::MAX);
    let mut bad = good.clone();
    // Another integrity under a right fingerprint: as if signed with a wrong password.
    let message = Message::parse(&good).unwrap();
    let username = message.username().unwrap().to_owned();
    let mut flood = Vec::new();
    let server = crate::sim::credentials(scene.attacker.peer, "a");
    let request = |username: &str, password: &str| {
        let request = airside_engine::stun::BindingRequest {
            transaction_id: [1; 12],
            username,
            priority: 1,
            role: IceRole::Controlling(1),
            use_candidate: true,
            nomination: Some(u32::MAX),
        };
        sign(&request, password)
    };
    flood.push(request(&username, "not the password at all"));
    flood.push(request("00nobody:knows", &server.password));
    flood.push(request(&username.replace(':', ""), &server.password));
    bad.truncate(20);
    flood.push(bad);
    for round in 0..1000 {
        let datagram = &flood[round % flood.len()];
        scene.sim.strays.clear();
        scene.attacker.send_from(&mut scene.sim, stranger, datagram);
        scene.sim.run_ms(if round % 50 == 0 { 40 } else { 0 });
        let answered: usize = scene
            .sim
            .strays
            .iter()
            .filter(|stray| stray.to == stranger)
            .map(|stray| stray.data.len())
            .max()
            .unwrap_or(0);
        assert!(answered <= datagram.len());
    }
    assert!(scene.dropped(DropReason::StunUnknownUfrag) >= 250);
    assert!(scene.dropped(DropReason::StunBadIntegrity) >= 20);
    assert!(scene.dropped(DropReason::StunRateLimited) >= 100);
    // Media still goes where it went.
    let media = scene.attacker.rtp(5, 96, 1, &[0x10; 40]);
    scene.attacker.send_from(&mut scene.sim, stranger, &media);
    assert_eq!(scene.dropped(DropReason::UnknownAddress), 1);
    let _ = selected;
    scene.assert_undisturbed();
}

#[test]
fn client_hello_from_an_unvalidated_address_before_and_after_the_real_one() {
    let mut sim = Sim::new(104, 1);
    let mut client = RawClient::new(&mut sim);
    let remote = client.remote();
    sim.command(0, Command::SetRemote(remote));
    let spoofer = SocketAddr::from(([6, 6, 6, 6], 666));
    let identity = airside_dtls::Identity::generate().unwrap();
    let mut dtls = airside_dtls::Dtls::new(&identity, airside_dtls::Role::Client, sim.now).unwrap();
    let hello = dtls.poll_transmit().unwrap();
    let check = client.check(|_| {});
    client.send(&mut sim, &check);
    for _ in 0..50 {
        client.send_from(&mut sim, spoofer, &hello);
    }
    client.shake_hands(&mut sim);
    for _ in 0..50 {
        client.send_from(&mut sim, spoofer, &hello);
    }
    sim.run_ms(100);
    assert!(client.out.is_some());
    assert_eq!(sim.dropped(0, DropReason::DtlsUnvalidatedAddress), 100);
    let last = sim.states(0, client.peer.transport).last().copied();
    assert_eq!(last, Some(airside_engine::event::TransportState::Connected));
}

#[test]
fn bad_tags_and_replays_are_counted_and_never_forwarded() {
    let mut scene = scene(105);
    let good = scene.attacker.rtp(5, 96, 1, &[0x10; 40]);
    scene.attacker.send(&mut scene.sim, &good);
    assert_eq!(scene.tapped(), 1);
    for round in 0..2000usize {
        let mut forged = good.clone();
        forged[3] = forged[3].wrapping_add(1);
        let at = 12 + round % (good.len() - 12);
        forged[at] ^= 1 << (round % 8);
        scene.attacker.send(&mut scene.sim, &forged);
        scene.attacker.send(&mut scene.sim, &good);
    }
    assert_eq!(scene.tapped(), 1);
    assert!(scene.dropped(DropReason::SrtpAuthFailed) >= 2000);
    assert!(scene.dropped(DropReason::SrtpReplayed) >= 2000);
    // Nothing of it disturbed the client's own stream.
    let next = scene.attacker.rtp(5, 96, 2, &[0x10; 40]);
    scene.attacker.send(&mut scene.sim, &next);
    assert_eq!(scene.tapped(), 2);
    scene.assert_undisturbed();
}

#[test]
fn authenticated_rtp_with_padding_extensions_and_csrcs_past_the_end() {
    let mut scene = scene(106);
    let header = |flags: u8, sequence: u8| vec![flags, 96, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 5];
    let mut packets = Vec::new();
    // Padding flag: count 0, count larger than the payload, padding only.
    for (count, padding) in [(0u8, 4), (200, 4), (4, 4), (1, 1)] {
        let mut packet = header(0xA0, packets.len() as u8 + 1);
        packet.resize(12 + padding, 0);
        *packet.last_mut().unwrap() = count;
        packets.push((packet, 12));
    }
    // An element past its block, two-byte elements of length 255, 255 of them.
    for elements in [vec![0x1F, 0, 0, 0], [1, 255].repeat(32), [7, 0].repeat(255)] {
        let two_byte = elements.len() > 4;
        let mut packet = header(0x90, packets.len() as u8 + 1);
        packet.extend(if two_byte { [0x10, 0x00] } else { [0xBE, 0xDE] });
        let words = elements.len().div_ceil(4);
        packet.extend((words as u16).to_be_bytes());
        packet.extend(elements);
        packet.resize(16 + words * 4, 0);
        let header_len = packet.len();
        packet.extend([0x10; 20]);
        packets.push((packet, header_len));
    }
    // No payload at all.
    packets.push((header(0x80, packets.len() as u8 + 1), 12));
    for (at, (packet, header_len)) in packets.iter().enumerate() {
        let protected = scene.attacker.protect(at as u64 + 1, packet, *header_len);
        scene.attacker.send(&mut scene.sim, &protected);
    }
    assert!(scene.dropped(DropReason::RtpMalformed) >= 3);
    assert!(scene.dropped(DropReason::PaddingOnly) >= 3);
    // Header fields that lie are caught before decryption.
    let good = scene.attacker.rtp(5, 96, 100, &[0x10; 40]);
    for flags in [0x8F, 0x9F] {
        let mut lying = good.clone();
        lying[0] = flags;
        lying[14..16].copy_from_slice(&[0xFF, 0xFF]);
        scene.attacker.send(&mut scene.sim, &lying);
    }
    scene.assert_undisturbed();
}

#[test]
fn ssrc_flood_binds_nothing_and_keeps_the_published_stream() {
    let mut scene = scene(107);
    let good = scene.attacker.rtp(5, 96, 1, &[0x10; 40]);
    scene.attacker.send(&mut scene.sim, &good);
    for ssrc in 1000..6000 {
        // A payload type of no section, so nothing says what it is.
        let packet = scene.attacker.rtp(ssrc, 100, 1, &[1; 20]);
        scene.attacker.send(&mut scene.sim, &packet);
    }
    assert_eq!(scene.dropped(DropReason::RtpUnknownSsrc), 5000);
    assert_eq!(scene.tapped(), 1);
    scene.assert_undisturbed();
}

#[test]
fn ssrc_that_changes_with_each_packet_is_stopped() {
    let mut scene = scene(108);
    for ssrc in 1000..3000 {
        let packet = scene.attacker.rtp(ssrc, 96, 1, &[0x10; 20]);
        scene.attacker.send(&mut scene.sim, &packet);
    }
    assert!(scene.dropped(DropReason::RtpTooManySsrcs) > 1700);
    scene.assert_undisturbed();
}

#[test]
fn rtx_with_bad_original_numbers_repairs_nothing() {
    let mut scene = scene(109);
    for index in 1..=3 {
        let packet = scene.attacker.rtp(5, 96, index, &[0x10; 20]);
        scene.attacker.send(&mut scene.sim, &packet);
    }
    let mut index = 0;
    for original in [2u16, 4, 1000, 40_000, 60_000] {
        index += 1;
        let payload = [&original.to_be_bytes()[..], &[0x10; 20]].concat();
        let packet = scene.attacker.rtp(6, 97, index, &payload);
        scene.attacker.send(&mut scene.sim, &packet);
    }
    for payload in [&[][..], &[1], &[1, 2]] {
        index += 1;
        let packet = scene.attacker.rtp(6, 97, index, payload);
        scene.attacker.send(&mut scene.sim, &packet);
    }
    assert_eq!(scene.tapped(), 3);
    assert!(scene.dropped(DropReason::RtxMalformed) >= 1);
    assert!(scene.dropped(DropReason::TooOld) >= 3);
    assert!(scene.dropped(DropReason::Duplicate) >= 1);
    scene.assert_undisturbed();
}

#[test]
fn malformed_and_hostile_rtcp_is_contained() {
    let mut scene = scene(110);
    let mut random = SmallRng::seed_from_u64(2);
    let mut compounds: Vec<Vec<u8>> = vec![
        // A length past the end, padding past the start, version 1.
        vec![0x80, 200, 0xFF, 0xFF, 0, 0, 0, 1],
        vec![0xA0, 201, 0, 1, 0, 0, 0, 200],
        vec![0x40, 201, 0, 1, 0, 0, 0, 1],
        // SDES without end, BYE of others, feedback about 65 535 packets in a few bytes.
        vec![0x81, 202, 0, 2, 0, 0, 0, 1, 1, 200, 65, 65],
        vec![0x82, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8],
        vec![
            0x8F, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xFF, 0xFF, 0, 0, 0, 0, 0x1F, 0xFF,
            0x1F, 0xFF,
        ],
    ];
    // A thousand NACKs for the whole window, of slots of nobody and of others.
    let missing: Vec<u16> = (0..4000).collect();
    let mut nack = Vec::new();
    rtcp::write_nack(&mut nack, 1, scene.witness.ssrc, &missing, 250);
    compounds.push(nack);
    let mut pli = Vec::new();
    (0..200).for_each(|_| rtcp::write_pli(&mut pli, 1, scene.witness.ssrc));
    compounds.push(pli);
    for _ in 0..2000 {
        let mut noise = vec![0; random.random_range(8..100)];
        random.fill_bytes(&mut noise);
        noise[0] = 0x80 | noise[0] & 0x3F;
        noise[1] = 200 + noise[1] % 8;
        compounds.push(noise);
    }
    for compound in &compounds {
        let protected = scene.attacker.rtcp(compound);
        scene.attacker.send(&mut scene.sim, &protected);
    }
    assert!(scene.dropped(DropReason::RtcpMalformed) > 500);
    let stats = scene.sim.nodes[0].engine.stats(scene.sim.now);
    assert_eq!(stats.total("slots", "keyframe_requests"), 0, "not its slots");
    assert_eq!(stats.total("slots", "resent"), 0);
    scene.assert_undisturbed();
}

#[test]
fn nacks_for_everything_a_thousand_times_cost_no_more_than_the_budget() {
    let mut scene = scene(114);
    let (sim, attacker) = (&mut scene.sim, &mut scene.attacker);
    let publisher = sim.connect();
    let camera = sim.publish_video(publisher, Layers::One);
    let (ssrc, rtx_ssrc) = (900, 901);
    sim.command(
        0,
        Command::AddSlot(AddSlot {
            slot: SlotId(900),
            transport: attacker.peer.transport,
            mid: "1".into(),
            rid: None,
            kind: MediaKind::Video,
            ssrc,
            rtx_ssrc: Some(rtx_ssrc),
            codecs: vec![SendCodec {
                payload_type: 96,
                codec: Codec::Vp8,
                clock_rate: 90_000,
                rtx_payload_type: Some(97),
                format: 1,
            }],
        }),
    );
    let wish = wish(720);
    sim.command(0, Command::Subscribe { slot: SlotId(900), track: camera.track, wish });
    let mut sent = (0, 0);
    for _ in 0..100 {
        let media = attacker.media(sim);
        let missing: Vec<u16> = {
            let newest = media.iter().rev().find(|(view, _)| view.ssrc == ssrc);
            let newest = newest.map_or(0, |(view, _)| view.sequence);
            (0..400).map(|back| newest.wrapping_sub(400 - back)).collect()
        };
        for _ in 0..10 {
            let mut nack = Vec::new();
            rtcp::write_nack(&mut nack, 1, ssrc, &missing, 250);
            let nack = attacker.rtcp(&nack);
            attacker.send(sim, &nack);
        }
        for (view, data) in media {
            let count = if view.ssrc == rtx_ssrc { &mut sent.1 } else { &mut sent.0 };
            *count += data.len();
        }
    }
    let (media, again) = sent;
    assert!(again > 0 && again < media / 3, "{again} bytes again of {media}");
    sim.command(0, Command::RemoveTransport { transport: publisher.transport });
    scene.assert_undisturbed();
}

#[test]
fn random_payloads_of_every_codec_are_forwarded_or_dropped_but_never_fatal() {
    let mut scene = scene(111);
    let mut random = SmallRng::seed_from_u64(3);
    for index in 1..3000 {
        let mut payload = vec![0; random.random_range(1..200)];
        random.fill_bytes(&mut payload);
        let packet = scene.attacker.rtp(5, 96, index, &payload);
        scene.attacker.send(&mut scene.sim, &packet);
    }
    assert!(scene.tapped() > 2900);
    scene.assert_undisturbed();
    let _ = scene.track;
}

#[test]
fn nobody_but_the_peer_can_end_a_session_with_close_notify() {
    let mut scene = scene(112);
    // An alert in clear: warning, close_notify.
    let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];
    for _ in 0..100 {
        scene.attacker.send(&mut scene.sim, &alert);
    }
    scene.assert_undisturbed();
}

#[test]
fn candidate_flood_by_valid_checks_keeps_eight_addresses() {
    let mut scene = scene(113);
    let before = scene.sim.nodes[0].engine.stats(scene.sim.now).total("worker", "addresses");
    for port in 1..10_000 {
        let check = scene.attacker.check(|_| {});
        let from = SocketAddr::from(([10, 9, 9, 9], port));
        scene.attacker.send_from(&mut scene.sim, from, &check);
    }
    scene.sim.strays.clear();
    let after = scene.sim.nodes[0].engine.stats(scene.sim.now).total("worker", "addresses");
    assert!(after <= before + 7, "{before} then {after}");
    scene.assert_undisturbed();
}
