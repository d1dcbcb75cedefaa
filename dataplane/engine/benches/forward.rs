//! Time to forward one packet to one subscriber, beside the time to encrypt it and do nothing else.
//!
//! `cargo bench -p airside-engine --bench forward`
//!
//! One worker, one publisher, 100 subscribers, no sockets: what the engine itself costs. The
//! publisher is an engine in client role; its datagrams are made before the clock runs.

#![allow(clippy::print_stdout, reason = "the table is the result")]
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use airside_dtls::Identity;
use airside_engine::clock::WallClock;
use airside_engine::codec::Codec;
use airside_engine::command::{
    AddSlot, AddTrack, AddTransport, Command, IceCredentials, LayerSpec, MediaKind, ReceiveCodec,
    Role, SendCodec, SetRemote, Source, Wish,
};
use airside_engine::ids::{RoomId, SlotId, TrackId, TransportId, WorkerId};
use airside_engine::load::GeneratedPacket;
use airside_engine::net::{Datagram, Protocol};
use airside_engine::rtp::ExtensionKind;
use airside_engine::srtp::{SrtpProfile, SrtpSender};
use airside_engine::units::NtpTime;
use airside_engine::{Engine, EngineConfig};

const SUBSCRIBERS: u64 = 100;
const ROUNDS: u64 = 7;
const BATCHES_PER_ROUND: u64 = 60;
const PAYLOADS: [(&str, usize, u64); 3] =
    [("video, batches of 8", 1150, 8), ("video, one by one", 1150, 1), ("audio", 100, 1)];
const EXTENSIONS: [(u8, ExtensionKind); 3] =
    [(2, ExtensionKind::AbsSendTime), (3, ExtensionKind::TransportCc), (4, ExtensionKind::Mid)];

fn main() {
    println!("{:<22} {:>14} {:>14} {:>8}", "", "forward ns", "encrypt ns", "share");
    for (name, size, batch) in PAYLOADS {
        let forward = forward_ns(size, batch);
        let encrypt = (0..ROUNDS).map(|_| encrypt_ns(size)).fold(f64::MAX, f64::min);
        println!("{name:<22} {forward:>14.0} {encrypt:>14.0} {:>8.2}", encrypt / forward);
    }
}

/// Only the encryption, one key after the other.
fn encrypt_ns(size: usize) -> f64 {
    let mut keys: Vec<SrtpSender> = (0..SUBSCRIBERS as u8)
        .map(|key| SrtpSender::new(SrtpProfile::AeadAes128Gcm, &[key; 16], &[key; 12]).unwrap())
        .collect();
    let payload = vec![0x55; size];
    let mut out = vec![0; 1472];
    let start = Instant::now();
    for index in 1..=BATCHES_PER_ROUND {
        out[2..4].copy_from_slice(&(index as u16).to_be_bytes());
        for key in &mut keys {
            black_box(key.protect_rtp_from(index, &mut out, 24, 0, &payload).unwrap());
        }
    }
    start.elapsed().as_nanos() as f64 / (BATCHES_PER_ROUND * SUBSCRIBERS) as f64
}

/// Best round of the engine, per packet and subscriber.
fn forward_ns(size: usize, batch: u64) -> f64 {
    let mut bench = Bench::new();
    let mut best = f64::MAX;
    let mut count = 0;
    for _ in 0..ROUNDS {
        let mut batches: Vec<Vec<Vec<u8>>> = (0..BATCHES_PER_ROUND)
            .map(|_| {
                (0..batch)
                    .flat_map(|_| {
                        count += 1;
                        bench.publish(count, size)
                    })
                    .collect()
            })
            .collect();
        let mut sent = 0;
        let start = Instant::now();
        for datagrams in &mut batches {
            let remote = bench.publisher.address;
            let mut batch: Vec<Datagram<'_>> = datagrams
                .iter_mut()
                .map(|data| Datagram { local: 0, remote, protocol: Protocol::Udp, data })
                .collect();
            bench.server.handle_datagrams(&mut batch, bench.now);
            let arena = bench.server.transmits();
            sent += arena.entries().len();
            black_box(arena.bytes());
            arena.clear();
        }
        let elapsed = start.elapsed().as_nanos() as f64;
        let wanted = BATCHES_PER_ROUND * batch * SUBSCRIBERS;
        assert!(sent as u64 >= wanted, "{sent} of {wanted}");
        best = best.min(elapsed / sent as f64);
        bench.pass(Duration::from_millis(200));
    }
    best
}

struct Client {
    engine: Engine,
    address: SocketAddr,
}

struct Bench {
    server: Engine,
    publisher: Client,
    subscribers: Vec<Client>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let identity = Identity::generate().unwrap();
        let mut server = engine(&identity, now);
        let mut clients: Vec<Client> =
            (0..=SUBSCRIBERS).map(|id| client(&mut server, &identity, id, now)).collect();
        let publisher = clients.remove(0);
        let mut bench = Self { server, publisher, subscribers: clients, now };
        bench.pass(Duration::from_secs(2));
        bench.add_media();
        bench
    }

    /// One track, bound to one slot of each subscriber.
    fn add_media(&mut self) {
        let track = TrackId(1);
        let source = Source::Transport { transport: TransportId(0), mid: "0".into() };
        let layer = LayerSpec { ssrc: Some(7), ..LayerSpec::default() };
        let add = |source, layer| {
            Command::AddTrack(AddTrack {
                track,
                room: RoomId(1),
                source,
                kind: MediaKind::Audio,
                codecs: vec![ReceiveCodec {
                    payload_type: 111,
                    codec: Codec::Opus,
                    clock_rate: 48_000,
                    rtx_payload_type: None,
                    nack: true,
                    pli: false,
                    fir: false,
                    format: 1,
                }],
                layers: vec![layer],
                screen: false,
                encrypted: false,
                muted: false,
                cname: "publisher".into(),
            })
        };
        let slot = |transport: u64, ssrc| {
            Command::AddSlot(AddSlot {
                slot: SlotId(transport),
                transport: TransportId(transport),
                mid: "0".into(),
                rid: None,
                kind: MediaKind::Audio,
                ssrc,
                rtx_ssrc: None,
                codecs: vec![SendCodec {
                    payload_type: 111,
                    codec: Codec::Opus,
                    clock_rate: 48_000,
                    rtx_payload_type: None,
                    format: 1,
                }],
            })
        };
        let wish = Wish {
            max_height_px: 720,
            max_temporal: 3,
            priority: 1,
            may_pause: false,
            paused: false,
            keyframe_interval_ms: 0,
        };
        let now = self.now;
        self.server.handle_command(add(source, layer), now);
        let local = &mut self.publisher.engine;
        local.handle_command(add(Source::Local, LayerSpec::default()), now);
        local.handle_command(slot(0, 7), now);
        local.handle_command(Command::Subscribe { slot: SlotId(0), track, wish }, now);
        for id in 1..=SUBSCRIBERS {
            self.server.handle_command(slot(id, 1000 + id as u32), now);
            self.server.handle_command(Command::Subscribe { slot: SlotId(id), track, wish }, now);
        }
    }

    /// The publisher's datagrams for one packet.
    fn publish(&mut self, count: u64, size: usize) -> Vec<Vec<u8>> {
        let payload = vec![0x55; size];
        let timestamp = count as u32 * 960;
        let packet = GeneratedPacket {
            layer: 0,
            timestamp,
            marker: false,
            level: None,
            descriptor: None,
            payload: &payload,
        };
        self.publisher.engine.inject(TrackId(1), &packet, self.now).unwrap();
        take(&mut self.publisher.engine)
    }

    /// Lets time pass with every datagram delivered at once.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += Duration::from_millis(5);
            let now = self.now;
            self.server.handle_timeout(now);
            for client in self.subscribers.iter_mut().chain([&mut self.publisher]) {
                client.engine.handle_timeout(now);
                let (local, remote) = (0, client.address);
                for mut data in take(&mut client.engine) {
                    let data = &mut data;
                    let datagram = Datagram { local, remote, protocol: Protocol::Udp, data };
                    self.server.handle_datagrams(&mut [datagram], now);
                }
            }
            let arena = self.server.transmits();
            let sent: Vec<(SocketAddr, Vec<u8>)> = arena
                .entries()
                .iter()
                .map(|entry| (entry.tuple.remote, arena.data(entry).to_vec()))
                .collect();
            arena.clear();
            for (to, mut data) in sent {
                let mut clients = self.subscribers.iter_mut().chain([&mut self.publisher]);
                let Some(client) = clients.find(|client| client.address == to) else { continue };
                let data = &mut data;
                let remote = server_address();
                let datagram = Datagram { local: 0, remote, protocol: Protocol::Udp, data };
                client.engine.handle_datagrams(&mut [datagram], now);
            }
        }
    }
}

fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7882))
}

fn engine(identity: &Identity, now: Instant) -> Engine {
    let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
    Engine::new(EngineConfig {
        worker: WorkerId(0),
        worker_count: 1,
        shared_port: false,
        identity: identity.clone(),
        voices: 0,
        seed: 1,
        clock: WallClock { instant: now, ntp },
    })
}

fn client(server: &mut Engine, identity: &Identity, id: u64, now: Instant) -> Client {
    let mut client = engine(identity, now);
    let transport = TransportId(id);
    let credentials = |name: &str| IceCredentials {
        ufrag: format!("00{name}{id}"),
        password: format!("password-of-{name}-{id}-long-enough"),
    };
    let remote = |ice, candidates| SetRemote {
        candidates,
        ..SetRemote::of_media(transport, ice, &identity.fingerprint_sha256(), &EXTENSIONS)
    };
    let add = |role, local| {
        let room = RoomId(1);
        Command::AddTransport(AddTransport {
            transport,
            room,
            role,
            local,
            socket: 0,
            local_path: None,
        })
    };
    server.handle_command(add(Role::Server, credentials("server")), now);
    client.handle_command(add(Role::Client, credentials("client")), now);
    server.handle_command(Command::SetRemote(remote(credentials("client"), Vec::new())), now);
    let to_server = remote(credentials("server"), vec![server_address()]);
    client.handle_command(Command::SetRemote(to_server), now);
    let address = SocketAddr::from(([10, 1, 0, 1], 1000 + id as u16));
    Client { engine: client, address }
}

fn take(engine: &mut Engine) -> Vec<Vec<u8>> {
    let arena = engine.transmits();
    let sent = arena.entries().iter().map(|entry| arena.data(entry).to_vec()).collect();
    arena.clear();
    sent
}
