//! Whole engines against each other on a virtual clock and a seeded network.
//!
//! The server node has one or more workers behind one address, as sockets on a shared port have;
//! each client is an engine in client role with one transport. [`Sim::run`] delivers datagrams,
//! ring messages and timeouts in order of time until the given moment.

pub mod lane;
mod media;
pub mod network;
mod raw;
pub mod viewer;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airside_dtls::Identity;
use airside_engine::clock::WallClock;
use airside_engine::command::{
    AddTransport, Command, DataDialect, IceCredentials, LocalPath, Member, Role, SetRemote,
};
use airside_engine::error::DropReason;
use airside_engine::event::{Event, TransportState};
use airside_engine::ids::{ParticipantId, RoomId, TapId, TransportId, WorkerId};
use airside_engine::net::{Datagram, Protocol, Tuple};
use airside_engine::packet::SourcePacket;
use airside_engine::rtp::{ExtensionKind, PlayoutDelay};
use airside_engine::units::NtpTime;
use airside_engine::{Engine, EngineConfig};

pub use media::{Layers, OPUS, Payload, Published, RED, Subscribed, VP8, packet_of, wish};
use network::{Flight, Network};
pub use raw::{RawClient, sign};

pub const ROOM: RoomId = RoomId(1);

/// Extension ids as Chromium offers them.
pub const EXTENSIONS: [(u8, ExtensionKind); 9] = [
    (1, ExtensionKind::AudioLevel),
    (2, ExtensionKind::AbsSendTime),
    (3, ExtensionKind::TransportCc),
    (4, ExtensionKind::Mid),
    (10, ExtensionKind::Rid),
    (11, ExtensionKind::RepairedRid),
    (12, ExtensionKind::DependencyDescriptor),
    (13, ExtensionKind::VideoOrientation),
    (14, ExtensionKind::AbsCaptureTime),
];

/// One engine and where it is.
pub struct Node {
    pub engine: Engine,
    pub address: SocketAddr,
    pub events: Vec<Event>,
    pub taps: BTreeMap<TapId, Vec<Arc<SourcePacket>>>,
    /// Reliable or not, and the envelope.
    pub messages: Vec<(bool, bytes::Bytes)>,
}

pub struct Sim {
    pub now: Instant,
    pub start: Instant,
    pub network: Network,
    /// Workers first, then clients.
    pub nodes: Vec<Node>,
    pub workers: usize,
    /// For transports connected from now on.
    pub congestion_control: bool,
    pub extensions: Vec<(u8, ExtensionKind)>,
    pub playout_delay: Option<PlayoutDelay>,
    server_identity: Identity,
    client_identity: Identity,
    next_id: u64,
    /// What was sent to addresses of no engine.
    pub strays: Vec<Flight>,
    rings: Vec<(WorkerId, WorkerId, airside_engine::ring::RingMessage)>,
    /// What is in local rings: the node it is for, path, record.
    records: VecDeque<(usize, Tuple, Vec<u8>)>,
    /// The worker at the other side of each local ring; a ring has the number of its client's node.
    local_rings: BTreeMap<u16, usize>,
}

/// A client and its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its node.
    pub node: usize,
    /// The worker that owns its transport on the server.
    pub worker: usize,
    /// The same id on both sides.
    pub transport: TransportId,
}

impl Sim {
    pub fn new(seed: u64, workers: usize) -> Self {
        let start = Instant::now();
        let server_identity = Identity::generate().unwrap();
        let client_identity = Identity::generate().unwrap();
        let mut sim = Self {
            now: start,
            start,
            network: Network::new(seed),
            nodes: Vec::new(),
            workers,
            congestion_control: true,
            extensions: EXTENSIONS.to_vec(),
            playout_delay: None,
            server_identity,
            client_identity,
            next_id: 100,
            strays: Vec::new(),
            rings: Vec::new(),
            records: VecDeque::new(),
            local_rings: BTreeMap::new(),
        };
        for worker in 0..workers {
            let address = SocketAddr::from(([10, 0, 0, 1], 7882));
            let identity = sim.server_identity.clone();
            sim.add_node(address, identity, worker as u8, workers as u8, seed);
        }
        sim
    }

    fn add_node(
        &mut self,
        address: SocketAddr,
        identity: Identity,
        worker: u8,
        workers: u8,
        seed: u64,
    ) -> usize {
        // Clocks of different machines differ.
        let skew = Duration::from_millis(self.nodes.len() as u64 * 12_345);
        let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000) + skew);
        let engine = Engine::new(EngineConfig {
            worker: WorkerId(worker),
            worker_count: workers,
            shared_port: true,
            identity,
            // Clients send whatever they have.
            voices: if self.nodes.len() < self.workers { 6 } else { 0 },
            seed: seed + self.nodes.len() as u64,
            clock: WallClock { instant: self.start, ntp },
        });
        let node = Node {
            engine,
            address,
            events: Vec::new(),
            taps: BTreeMap::new(),
            messages: Vec::new(),
        };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn command(&mut self, node: usize, command: Command) {
        let now = self.now;
        self.nodes[node].engine.handle_command(command, now);
        self.collect(node);
    }

    /// A command for every worker of the server.
    pub fn command_all(&mut self, command: &Command) {
        (0..self.workers).for_each(|worker| self.command(worker, command.clone()));
    }

    /// A client with a transport that begins to connect.
    pub fn join(&mut self) -> Peer {
        let worker = self.nodes.len() % self.workers;
        let peer = self.add_peer(worker);
        self.set_remotes(peer);
        peer
    }

    /// Both ends exist, and know nothing of each other.
    pub fn add_peer(&mut self, worker: usize) -> Peer {
        let index = self.nodes.len() as u16;
        let address = SocketAddr::from(([10, 1, (index >> 8) as u8, index as u8], 5000));
        let identity = self.client_identity.clone();
        let node = self.add_node(address, identity, 0, 1, 1000 + u64::from(index));
        let transport = TransportId(self.new_id());
        let peer = Peer { node, worker, transport };
        self.add_transport(worker, transport, Role::Server, credentials(peer, "a"));
        self.add_transport(node, transport, Role::Client, client_credentials(peer, "a"));
        peer
    }

    fn add_transport(&mut self, node: usize, id: TransportId, role: Role, local: IceCredentials) {
        let local_path = None;
        let spec = AddTransport { transport: id, room: ROOM, role, local, socket: 0, local_path };
        self.command(node, Command::AddTransport(spec));
    }

    /// A client beside the server, behind a local ring.
    pub fn join_locally(&mut self) -> Peer {
        let (worker, node) = (self.nodes.len() % self.workers, self.nodes.len());
        let (address, identity) =
            (SocketAddr::from(([0, 0, 0, 0], 0)), self.client_identity.clone());
        self.add_node(address, identity, 0, 1, 1000 + node as u64);
        let transport = TransportId(self.new_id());
        let peer = Peer { node, worker, transport };
        let path = LocalPath { ring: node as u16, route: transport.0 };
        self.local_rings.insert(path.ring, worker);
        for (node, role) in [(worker, Role::Server), (node, Role::Client)] {
            let spec = AddTransport {
                transport,
                room: ROOM,
                role,
                local: credentials(peer, "a"),
                socket: 0,
                local_path: Some(path),
            };
            self.command(node, Command::AddTransport(spec));
        }
        self.set_remotes(peer);
        peer
    }

    /// Takes records out of local rings.
    fn pass_records(&mut self) {
        while let Some((node, tuple, mut data)) = self.records.pop_front() {
            let Tuple { protocol, local, remote } = tuple;
            let datagram = Datagram { local, remote, protocol, data: &mut data };
            // A process that has ended reads no more.
            if let Some(to) = self.nodes.get_mut(node) {
                to.engine.handle_datagrams(&mut [datagram], self.now);
                self.collect(node);
            }
        }
    }

    /// One record for a node, as if the other side of a local ring had written it.
    pub fn put_record(&mut self, node: usize, path: LocalPath, data: &[u8]) {
        self.records.push_back((node, Tuple::local(path), data.to_vec()));
        self.pass_records();
    }

    /// Signaling tells both ends about each other.
    pub fn set_remotes(&mut self, peer: Peer) {
        let server = self.remote(peer, true);
        self.command(peer.worker, Command::SetRemote(server));
        let client = self.remote(peer, false);
        self.command(peer.node, Command::SetRemote(client));
    }

    /// What the server (or the client) learns about the other.
    pub fn remote(&self, peer: Peer, server: bool) -> SetRemote {
        let identity = if server { &self.client_identity } else { &self.server_identity };
        let client = client_credentials(peer, "a");
        let ice = if server { client } else { credentials(peer, "a") };
        let fingerprint = identity.fingerprint_sha256();
        SetRemote {
            candidates: if server { Vec::new() } else { vec![self.nodes[0].address] },
            data: true,
            congestion_control: self.congestion_control,
            playout_delay: self.playout_delay,
            ..SetRemote::of_media(peer.transport, ice, &fingerprint, &self.extensions)
        }
    }

    /// Makes the transport's participant a member of the room, on all workers.
    pub fn add_member(&mut self, peer: Peer, identity: &str) {
        let member = Member {
            room: ROOM,
            participant: ParticipantId(peer.transport.0),
            identity: identity.into(),
            sid: format!("PA_{identity}"),
            transport: peer.transport,
            worker: WorkerId(peer.worker as u8),
            uplink: None,
            dialect: DataDialect::Native,
            can_publish: true,
            hidden: false,
            agent: false,
            metrics: false,
        };
        self.command_all(&Command::SetMember(member));
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    pub fn run_ms(&mut self, milliseconds: u64) {
        self.run(Duration::from_millis(milliseconds));
    }

    /// Lets time pass until `done`, or panics after `limit`.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.now < end, "not done after {limit:?}");
            self.run(Duration::from_millis(5));
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let timeouts = self.nodes.iter().filter_map(|node| node.engine.poll_timeout());
        timeouts.chain(self.network.next_arrival()).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(flight) = self.network.arrived(now) {
            self.deliver(flight, 0);
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.poll_timeout().is_some_and(|at| at <= now) {
                self.nodes[node].engine.handle_timeout(now);
                self.collect(node);
            }
        }
    }

    /// One datagram to the node at its address; on the shared port to the worker the kernel picks.
    pub fn deliver(&mut self, mut flight: Flight, hops: u8) {
        let node = if flight.to == self.nodes[0].address {
            usize::from(flight.from.port().wrapping_add(hops.into())) % self.workers
        } else {
            match self.nodes.iter().position(|node| node.address == flight.to) {
                Some(node) => node,
                None => return self.strays.push(flight),
            }
        };
        let datagram = Datagram {
            local: 0,
            remote: flight.from,
            protocol: Protocol::Udp,
            data: &mut flight.data,
        };
        let owner = self.nodes[node].engine.owner_of(&datagram);
        let node = owner.filter(|_| node < self.workers).map_or(node, |owner| owner.0.into());
        self.nodes[node].engine.handle_datagrams(&mut [datagram], self.now);
        self.collect(node);
    }

    /// Takes everything an engine has to say.
    pub fn collect(&mut self, node: usize) {
        let now = self.now;
        let Node { engine, address, events, taps, messages } = &mut self.nodes[node];
        let arena = engine.transmits();
        for entry in arena.entries() {
            let data = arena.data(entry).to_vec();
            if entry.tuple.protocol == Protocol::Local {
                let client = usize::from(entry.tuple.local);
                let to = if client == node { self.local_rings[&entry.tuple.local] } else { client };
                self.records.push_back((to, entry.tuple, data));
                continue;
            }
            let flight = Flight { from: *address, to: entry.tuple.remote, data };
            self.network.send(&flight, now);
        }
        arena.clear();
        while let Some(event) = engine.poll_event() {
            events.push(event);
        }
        while let Some((tap, packet)) = engine.poll_tap() {
            taps.entry(tap).or_default().push(packet);
        }
        while let Some(message) = engine.poll_message() {
            messages.push((message.reliable, message.bytes));
        }
        while let Some((to, message)) = engine.poll_ring() {
            self.rings.push((WorkerId(node as u8), to, message));
        }
        while !self.rings.is_empty() {
            let (from, to, message) = self.rings.remove(0);
            let to = usize::from(to.0);
            self.nodes[to].engine.handle_ring(from, [message], now);
            self.collect(to);
        }
        self.pass_records();
    }

    /// All states of the transport that a node has told, in order.
    pub fn states(&self, node: usize, transport: TransportId) -> Vec<TransportState> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::TransportState { transport: id, state, .. } if *id == transport => {
                    Some(*state)
                }
                _ => None,
            })
            .collect()
    }

    pub fn is_connected(&self, peer: Peer) -> bool {
        let connected = |node| self.states(node, peer.transport).last().copied();
        [peer.worker, peer.node].map(connected) == [Some(TransportState::Connected); 2]
    }

    /// A client that is connected.
    pub fn connect(&mut self) -> Peer {
        let peer = self.join();
        self.run_until(Duration::from_secs(10), |sim| sim.is_connected(peer));
        peer
    }

    pub fn dropped(&self, node: usize, reason: DropReason) -> u64 {
        self.nodes[node].engine.dropped(reason)
    }

    /// Failed commands of all nodes, to be asserted empty.
    pub fn failures(&self) -> Vec<String> {
        let events = self.nodes.iter().flat_map(|node| &node.events);
        let failed = events.filter(|event| matches!(event, Event::CommandFailed { .. }));
        failed.map(|event| format!("{event:?}")).collect()
    }
}

/// The server's credentials for a peer; `generation` changes with each restart.
pub fn credentials(peer: Peer, generation: &str) -> IceCredentials {
    let (worker, id) = (peer.worker, peer.transport.0);
    IceCredentials {
        ufrag: format!("{worker:02x}server{id}{generation}padding"),
        password: format!("server-password-{id}-{generation}-padding"),
    }
}

/// The client's.
pub fn client_credentials(peer: Peer, generation: &str) -> IceCredentials {
    let id = peer.transport.0;
    IceCredentials {
        ufrag: format!("00client{id}{generation}"),
        password: format!("client-password-{id}-{generation}-padding"),
    }
}
