//! A call through one real worker: publishers and subscribers are clients of one engine here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use _native::shell::{Shell, ShellConfig};
use airside_dtls::Identity;
use airside_engine::clock::WallClock;
use airside_engine::codec::Codec;
use airside_engine::command::{
    AddSlot, AddTrack, AddTransport, Command, IceCredentials, LayerSpec, MediaKind, ReceiveCodec,
    Role, SendCodec, SetRemote, Source, Wish,
};
use airside_engine::event::{Event, TransportState};
use airside_engine::ids::{RoomId, SlotId, TrackId, TransportId, WorkerId};
use airside_engine::load::GeneratedPacket;
use airside_engine::net::{Datagram, Protocol};
use airside_engine::rtp::ExtensionKind;
use airside_engine::stats::Values;
use airside_engine::units::NtpTime;
use airside_engine::{Engine, EngineConfig};

use crate::report::WorkerFigures;
use crate::sinks::{Sinks, is_rtp};
use crate::system;

const WORKER: WorkerId = WorkerId(0);
const ROOM: RoomId = RoomId(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// What browsers agree on for media, by id.
const EXTENSIONS: [(u8, ExtensionKind); 4] = [
    (1, ExtensionKind::Mid),
    (2, ExtensionKind::AbsSendTime),
    (3, ExtensionKind::TransportCc),
    (4, ExtensionKind::AudioLevel),
];

pub(crate) struct Call {
    shell: Shell,
    server: SocketAddr,
    clients: Engine,
    pub(crate) sinks: Sinks,
    publishers: usize,
    subscribers: usize,
    kind: MediaKind,
    burst: usize,
    payload: Vec<u8>,
    picture: u16,
    timestamp: u32,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    /// When each packet of a publisher was sent, in order; how many of it each stream brought.
    sent: Vec<Vec<Instant>>,
    streams: HashMap<(usize, u32), (usize, usize)>,
}

fn credentials(side: char, index: usize) -> IceCredentials {
    IceCredentials { ufrag: format!("00{side}{index:013}"), password: format!("{side}{index:031}") }
}

/// Everything about client `index` on either side has this number in it.
fn transport(index: usize) -> TransportId {
    TransportId(index as u64 + 1)
}

fn slot(subscriber: usize, publisher: usize) -> SlotId {
    SlotId(((subscriber as u64) << 16) + publisher as u64 + 1)
}

fn publisher_ssrc(publisher: usize) -> u32 {
    u32::try_from(publisher).unwrap() + 1000
}

fn slot_ssrc(publisher: usize) -> u32 {
    u32::try_from(publisher).unwrap() + 5000
}

impl Call {
    /// Connects everybody and subscribes everybody to every publisher.
    pub(crate) fn establish(
        publishers: usize,
        subscribers: usize,
        kind: MediaKind,
        core: usize,
    ) -> Self {
        let bind = vec!["127.0.0.1:0".parse().unwrap()];
        let config = ShellConfig { workers: 1, bind, port_per_worker: false, voices: 0, seed: 1 };
        let shell = Shell::start(&config).unwrap();
        system::pin_thread("airside-0", core);
        let server = shell.addresses()[0][0];
        let clock = WallClock { instant: Instant::now(), ntp: NtpTime::from_unix(PATIENCE) };
        let identity = Identity::generate().unwrap();
        let fingerprint = identity.fingerprint_sha256().to_vec();
        let clients = Engine::new(EngineConfig {
            worker: WORKER,
            worker_count: 1,
            shared_port: false,
            identity,
            voices: 0,
            seed: 2,
            clock,
        });
        let count = publishers + subscribers;
        let mut call = Self {
            shell,
            server,
            clients,
            sinks: Sinks::new(count),
            publishers,
            subscribers,
            kind,
            burst: 0,
            payload: Vec::new(),
            picture: 0,
            timestamp: 0,
            delivered: 0,
            delivered_bytes: 0,
            sent: vec![Vec::new(); publishers],
            streams: HashMap::new(),
        };
        for index in 0..count {
            call.connect(index, &fingerprint);
        }
        call.wait_connected(count);
        for publisher in 0..publishers {
            call.publish(publisher);
        }
        let subscribe = (0..subscribers).flat_map(|subscriber| {
            (0..publishers)
                .flat_map(move |publisher| call_subscribe(subscriber, publisher, publishers, kind))
        });
        call.shell.submit(WORKER, subscribe.collect()).unwrap();
        call
    }

    fn connect(&mut self, index: usize, fingerprint: &[u8]) {
        let (local, remote) = (credentials('c', index), credentials('s', index));
        let add = |role, local| {
            let socket = u16::try_from(index).unwrap();
            Command::AddTransport(AddTransport {
                transport: transport(index),
                room: ROOM,
                role,
                local,
                socket,
                local_path: None,
            })
        };
        let set = |ice, fingerprint: &[u8], candidates| {
            let media = SetRemote::of_media(transport(index), ice, fingerprint, &EXTENSIONS);
            Command::SetRemote(SetRemote { candidates, ..media })
        };
        let server =
            [add(Role::Server, remote.clone()), set(local.clone(), fingerprint, Vec::new())];
        self.shell.submit(WORKER, server.into()).unwrap();
        let theirs = digest(self.shell.fingerprint());
        let now = Instant::now();
        self.clients.handle_command(add(Role::Client, local), now);
        self.clients.handle_command(set(remote, &theirs, vec![self.server]), now);
        self.flush();
    }

    fn wait_connected(&mut self, count: usize) {
        let end = Instant::now() + PATIENCE;
        let mut connected = 0;
        while connected < count {
            assert!(Instant::now() < end, "{connected} of {count} clients connected");
            self.turn(|_, _| ());
            let news = self.shell.drain(1000).into_iter();
            let is_connected = |event: &Event| {
                matches!(event, Event::TransportState { state: TransportState::Connected, .. })
            };
            connected += news.filter(|(_, event)| is_connected(event)).count();
            while let Some(event) = self.clients.poll_event() {
                assert!(!matches!(event, Event::CommandFailed { .. }), "{event:?}");
            }
        }
    }

    /// A track at the server, and its source and slot at the client.
    fn publish(&mut self, publisher: usize) {
        let track = TrackId(publisher as u64 + 1);
        let add = |source, ssrc| {
            Command::AddTrack(AddTrack {
                track,
                room: ROOM,
                source,
                kind: self.kind,
                codecs: vec![receive_codec(self.kind)],
                layers: vec![LayerSpec { ssrc, ..LayerSpec::default() }],
                screen: false,
                encrypted: false,
                muted: false,
                cname: "bench".to_owned(),
            })
        };
        let (transport, ssrc) = (transport(publisher), publisher_ssrc(publisher));
        let source = Source::Transport { transport, mid: "0".to_owned() };
        self.shell.submit(WORKER, vec![add(source, Some(ssrc))]).unwrap();
        let slot = SlotId(publisher as u64 + 1);
        let local = [
            add(Source::Local, None),
            add_slot(slot, transport, "0", ssrc, self.kind),
            Command::Subscribe { slot, track, wish: WISH },
        ];
        for command in local {
            self.clients.handle_command(command, Instant::now());
        }
        self.flush();
    }

    /// What a burst is, from now on. Returns when every subscriber gets every track.
    pub(crate) fn prepare(&mut self, burst: usize, payload_len: usize) {
        self.burst = burst;
        self.payload = vec![0x55; payload_len];
        let end = Instant::now() + PATIENCE;
        while self.streams.len() < self.publishers * self.subscribers {
            assert!(Instant::now() < end, "{} streams began", self.streams.len());
            self.send(true);
            let next = Instant::now() + Duration::from_millis(20);
            while Instant::now() < next {
                self.turn(|_, _| ());
            }
        }
    }

    /// Packets that one burst becomes.
    pub(crate) fn packets_per_burst(&self) -> u64 {
        (self.publishers * self.burst * self.subscribers) as u64
    }

    pub(crate) fn send_burst(&mut self) {
        self.send(false);
    }

    fn send(&mut self, keyframe: bool) {
        self.picture = self.picture.wrapping_add(1) & 0x7fff;
        let step = if self.kind == MediaKind::Audio { 960 } else { 3000 };
        self.timestamp = self.timestamp.wrapping_add(step);
        let now = Instant::now();
        for publisher in 0..self.publishers {
            for at in 0..self.burst {
                if self.kind == MediaKind::Video {
                    write_vp8(&mut self.payload, self.picture, at == 0, keyframe);
                }
                let packet = GeneratedPacket {
                    layer: 0,
                    timestamp: self.timestamp,
                    marker: self.kind == MediaKind::Video && at + 1 == self.burst,
                    level: (self.kind == MediaKind::Audio).then_some(40),
                    descriptor: None,
                    payload: &self.payload,
                };
                self.clients.inject(TrackId(publisher as u64 + 1), &packet, now).unwrap();
                self.sent[publisher].push(now);
            }
        }
        self.flush();
    }

    /// Forgets what was sent, once everything is there.
    pub(crate) fn begin_timing(&mut self) {
        self.sent.iter_mut().for_each(Vec::clear);
        self.streams.clear();
    }

    /// Takes what the sinks have, and lets the clients' engine do its part. `on_packet` is given
    /// when a packet was sent and when it arrived.
    pub(crate) fn turn(&mut self, mut on_packet: impl FnMut(Instant, Instant)) {
        let Self { sinks, clients, server, streams, sent, delivered, delivered_bytes, .. } = self;
        let now = Instant::now();
        sinks.drain(|socket, data| {
            if is_rtp(data) {
                *delivered += 1;
                *delivered_bytes += data.len() as u64;
                let ssrc = u32::from_be_bytes([data[8], data[9], data[10], data[11]]);
                let publisher = ssrc.wrapping_sub(slot_ssrc(0)) as usize;
                let (_, seen) = streams.entry((socket, ssrc)).or_insert((publisher, 0));
                if let Some(at) = sent.get(publisher).and_then(|sent| sent.get(*seen)) {
                    on_packet(*at, Instant::now().max(*at));
                }
                *seen += 1;
            } else {
                let local = u16::try_from(socket).unwrap();
                let mut one = [Datagram { local, remote: *server, protocol: Protocol::Udp, data }];
                clients.handle_datagrams(&mut one, now);
            }
        });
        if self.clients.poll_timeout().is_some_and(|due| due <= now) {
            self.clients.handle_timeout(now);
        }
        self.flush();
    }

    fn flush(&mut self) {
        let arena = self.clients.transmits();
        for entry in arena.entries() {
            let socket = &self.sinks.sockets[usize::from(entry.tuple.local)];
            socket.send_to(arena.data(entry), entry.tuple.remote).unwrap();
        }
        arena.clear();
    }

    pub(crate) fn worker_figures(&mut self) -> WorkerFigures {
        self.shell.submit(WORKER, vec![Command::ReadStats { token: 1 }]).unwrap();
        loop {
            for (_, event) in self.shell.drain(1000) {
                assert!(!matches!(event, Event::CommandFailed { .. }), "{event:?}");
                let Event::Stats { columns, .. } = event else { continue };
                let figure = |name| match columns.column("loop", name) {
                    Some(Values::U64(values)) => values[0],
                    other => panic!("{name}: {other:?}"),
                };
                return WorkerFigures {
                    cpu_ns: figure("cpu_ns"),
                    segmented: figure("sent_segmented_packets"),
                    residence: ["residence_p50_us", "residence_p99_us", "residence_max_us"]
                        .map(figure),
                };
            }
        }
    }
}

const WISH: Wish = Wish {
    max_height_px: 4320,
    max_temporal: 7,
    priority: 100,
    may_pause: false,
    paused: false,
    keyframe_interval_ms: 0,
};

fn call_subscribe(
    subscriber: usize,
    publisher: usize,
    publishers: usize,
    kind: MediaKind,
) -> [Command; 2] {
    let slot = slot(subscriber, publisher);
    let mid = publisher.to_string();
    let transport = transport(publishers + subscriber);
    [
        add_slot(slot, transport, &mid, slot_ssrc(publisher), kind),
        Command::Subscribe { slot, track: TrackId(publisher as u64 + 1), wish: WISH },
    ]
}

fn codec(kind: MediaKind) -> (u8, Codec) {
    if kind == MediaKind::Audio { (111, Codec::Opus) } else { (96, Codec::Vp8) }
}

fn receive_codec(kind: MediaKind) -> ReceiveCodec {
    let (payload_type, codec) = codec(kind);
    let clock_rate = codec.clock_rate();
    ReceiveCodec {
        payload_type,
        codec,
        clock_rate,
        rtx_payload_type: None,
        nack: false,
        pli: true,
        fir: false,
        format: 1,
    }
}

fn add_slot(
    slot: SlotId,
    transport: TransportId,
    mid: &str,
    ssrc: u32,
    kind: MediaKind,
) -> Command {
    let (payload_type, codec) = codec(kind);
    let clock_rate = codec.clock_rate();
    Command::AddSlot(AddSlot {
        slot,
        transport,
        mid: mid.to_owned(),
        rid: None,
        kind,
        ssrc,
        rtx_ssrc: None,
        codecs: vec![SendCodec {
            payload_type,
            codec,
            clock_rate,
            rtx_payload_type: None,
            format: 1,
        }],
    })
}

/// A VP8 payload descriptor with a picture id, and the start of a frame (RFC 7741, RFC 6386).
fn write_vp8(payload: &mut [u8], picture: u16, first: bool, keyframe: bool) {
    let [high, low] = picture.to_be_bytes();
    payload[..4].copy_from_slice(&[0x80 | u8::from(first) << 4, 0x80, 0x80 | high, low]);
    if first {
        payload[4..7].copy_from_slice(&[0x10 | u8::from(!keyframe), 0, 0]);
    }
    if first && keyframe {
        payload[7..14].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
    }
}

/// Bytes of `sha-256 AB:CD:...`.
fn digest(fingerprint: &str) -> Vec<u8> {
    let (_, digits) = fingerprint.split_once(' ').unwrap();
    digits.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
