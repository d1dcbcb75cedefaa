//! The engine of one worker: its tables, and one method per way in and out.
//!
//! A turn of the I/O shell is: receive a batch, [`Engine::handle_datagrams`], send
//! [`Engine::transmits`]; commands, ring messages and timeouts likewise; then drain every `poll_*`
//! and sleep until [`Engine::poll_timeout`]. What each method does is in the file it calls.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use airside_dtls::Identity;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::allocator::TrackInput;
use crate::clock::WallClock;
use crate::config::EngineConfig;
use crate::envelope::data_tracks::DataTracks;
use crate::envelope::routing::{self, RoutingTable};
use crate::event::{CloseReason, Event};
use crate::fanout::Jobs;
use crate::forward::Routed;
use crate::ids::{RoomId, SlotId, TapId, TrackId, TransportId, WorkerId};
use crate::load::{Meter, MeterId};
use crate::net::{Datagram, TransmitArena};
use crate::output::{ClientMessage, Output};
use crate::packet::{PacketPool, SourcePacket};
use crate::ring::RingMessage;
use crate::room_audio::RoomAudio;
use crate::routes::{Routes, worker_of};
use crate::slot::Slot;
use crate::stun;
use crate::timers::{TimerKey, Timers};
use crate::track::Track;
use crate::transport::Transport;

/// Transports whose handshake goes on in one turn. Each may cost a millisecond of public-key
/// operations; audio must not wait for more than a few of them (DESIGN section 2).
const HANDSHAKES_PER_TURN: usize = 2;

/// One worker's packet plane. Owns no socket and no thread, and reads no clock.
#[derive(Debug)]
pub struct Engine {
    pub(crate) worker: WorkerId,
    pub(crate) worker_count: u8,
    pub(crate) shared_port: bool,
    pub(crate) voices: usize,
    pub(crate) identity: Identity,
    pub(crate) clock: WallClock,
    pub(crate) random: SmallRng,
    pub(crate) names: Names,
    pub(crate) transports: Slab<Transport>,
    pub(crate) tracks: Slab<Track>,
    pub(crate) slots: Slab<Slot>,
    pub(crate) rooms: FxHashMap<RoomId, RoomAudio>,
    pub(crate) members: RoutingTable,
    pub(crate) data_tracks: DataTracks,
    pub(crate) meters: FxHashMap<MeterId, Meter>,
    pub(crate) routes: Routes,
    pub(crate) timers: Timers,
    /// Transports with handshake datagrams waiting.
    pub(crate) handshakes: VecDeque<usize>,
    pub(crate) out: Output,
    /// Packets taken in by this turn, not yet forwarded.
    pub(crate) turn: Vec<Routed>,
    pub(crate) pool: PacketPool,
    /// What of them goes to whom; memory used within one call only.
    pub(crate) jobs: Jobs,
    /// Keyframes that slots wait for: track and bit per layer; likewise.
    pub(crate) awaited: Vec<(usize, u8)>,
    /// Transports for which layers are to be chosen anew.
    pub(crate) reallocate: Vec<usize>,
    /// Memory used within one call only.
    pub(crate) scratch: Vec<u8>,
    pub(crate) missing: Vec<u16>,
    pub(crate) track_inputs: Vec<TrackInput>,
    pub(crate) data_targets: Vec<routing::Target>,
    pub(crate) data_touched: Vec<usize>,
    /// Transports for which forwarding panicked.
    pub(crate) broken: Vec<usize>,
    /// Time of the latest call.
    pub(crate) now: Instant,
}

/// Keys of the tables by the ids that Python gave.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) transports: FxHashMap<TransportId, usize>,
    pub(crate) tracks: FxHashMap<TrackId, usize>,
    pub(crate) slots: FxHashMap<SlotId, usize>,
}

impl Engine {
    /// An engine with empty tables.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self {
            worker: config.worker,
            worker_count: config.worker_count,
            shared_port: config.shared_port && config.worker_count > 1,
            voices: config.voices,
            identity: config.identity,
            clock: config.clock,
            random: SmallRng::seed_from_u64(config.seed),
            names: Names::default(),
            transports: Slab::new(),
            tracks: Slab::new(),
            slots: Slab::new(),
            rooms: FxHashMap::default(),
            members: RoutingTable::default(),
            data_tracks: DataTracks::default(),
            meters: FxHashMap::default(),
            routes: Routes::default(),
            timers: Timers::default(),
            handshakes: VecDeque::new(),
            out: Output::new(),
            turn: Vec::new(),
            pool: PacketPool::default(),
            jobs: Jobs::default(),
            awaited: Vec::new(),
            reallocate: Vec::new(),
            scratch: Vec::new(),
            missing: Vec::new(),
            track_inputs: Vec::new(),
            data_targets: Vec::new(),
            data_touched: Vec::new(),
            broken: Vec::new(),
            now: config.clock.instant,
        }
    }

    /// One batch of received datagrams, decrypted in place. All packets of the batch are
    /// decrypted, then routed, then encrypted for each receiver into [`Engine::transmits`].
    pub fn handle_datagrams(&mut self, batch: &mut [Datagram<'_>], now: Instant) {
        self.now = now;
        for datagram in batch {
            let (tuple, data) = (datagram.tuple(), &mut *datagram.data);
            if catch_unwind(AssertUnwindSafe(|| self.ingest(tuple, data, now))).is_err() {
                self.blame_sender(&tuple, now);
            }
        }
        self.forward_turn(now);
    }

    /// Messages of another worker, in order.
    pub fn handle_ring(
        &mut self,
        from: WorkerId,
        messages: impl IntoIterator<Item = RingMessage>,
        now: Instant,
    ) {
        self.now = now;
        for message in messages {
            self.take_ring_message(from, message, now);
        }
        self.forward_turn(now);
    }

    /// Acts on passed deadlines; an early or extra call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.allocate_due(now);
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Transport(key) => {
                    self.contained(key, now, |engine| engine.transport_timeout(key, now));
                }
                TimerKey::Track(key) => self.track_timeout(key, now),
                TimerKey::Room(room) => self.room_timeout(room, now),
            }
        }
        self.work_handshakes(HANDSHAKES_PER_TURN, now);
    }

    /// When to call [`Engine::handle_timeout`] next; a time already past means at once, after
    /// what has been received and is to be sent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.handshakes.is_empty() && self.reallocate.is_empty();
        if idle { self.timers.next() } else { Some(self.now) }
    }

    /// What is to be sent. To be sent, and [cleared](TransmitArena::clear), after every call of a
    /// `handle_*` method.
    pub fn transmits(&mut self) -> &mut TransmitArena {
        &mut self.out.arena
    }

    /// The next piece of news for the control plane.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop()
    }

    /// The next message for another worker.
    pub fn poll_ring(&mut self) -> Option<(WorkerId, RingMessage)> {
        self.out.pop_ring()
    }

    /// The next packet for a reader in this process, with source numbering.
    pub fn poll_tap(&mut self) -> Option<(TapId, Arc<SourcePacket>)> {
        self.out.pop_tap()
    }

    /// The next data message that a transport in client role received.
    pub fn poll_message(&mut self) -> Option<ClientMessage> {
        self.out.pop_message()
    }

    /// Whether [`Engine::poll_message`] would return one.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.out.has_messages()
    }

    /// The other worker that a datagram on the shared port is for. The shell passes it on, and
    /// keeps nothing: the owner is asked for each datagram. `None`: it is for this worker, or for
    /// nobody.
    #[must_use]
    pub fn owner_of(&self, datagram: &Datagram<'_>) -> Option<WorkerId> {
        if !self.shared_port {
            return None;
        }
        let owner = if stun::looks_like_stun(datagram.data) {
            let message = stun::Message::parse(datagram.data).ok()?;
            worker_of(message.ufrags()?.0)?
        } else {
            self.routes.foreign(&datagram.tuple())?
        };
        (owner != self.worker && owner.0 < self.worker_count).then_some(owner)
    }

    /// Runs one transport's step; a panic in it closes that transport and nothing else.
    pub(crate) fn contained(&mut self, key: usize, now: Instant, step: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
            self.close(key, CloseReason::Internal, now);
        }
    }

    /// The transport with this id, or a failed command.
    pub(crate) fn transport_named(
        &mut self,
        id: TransportId,
        command: &'static str,
    ) -> Option<usize> {
        let key = self.names.transports.get(&id).copied();
        if key.is_none() {
            self.out.events.failed(command, id.0, "no such transport");
        }
        key
    }

    /// Sets the transport's timer to the earliest of its parts' deadlines.
    pub(crate) fn arm_transport(&mut self, key: usize) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        if let Some(at) = transport.poll_timeout() {
            self.timers.arm(TimerKey::Transport(key), &mut transport.wake, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::command::{AddTransport, Command, IceCredentials, Role};
    use crate::event::TransportState;
    use crate::ids::RoomId;
    use crate::units::NtpTime;

    #[test]
    fn a_panic_closes_its_transport_and_no_other() {
        let now = Instant::now();
        let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
        let mut engine = Engine::new(EngineConfig {
            worker: WorkerId(0),
            worker_count: 1,
            shared_port: false,
            identity: Identity::generate().unwrap(),
            voices: 6,
            seed: 1,
            clock: WallClock { instant: now, ntp },
        });
        for id in [1, 2] {
            let local = IceCredentials { ufrag: format!("00{id}"), password: "p".repeat(22) };
            let transport = TransportId(id);
            let (room, role) = (RoomId(1), Role::Server);
            let spec = AddTransport { transport, room, role, local, socket: 0, local_path: None };
            engine.handle_command(Command::AddTransport(spec), now);
        }
        let key = engine.names.transports[&TransportId(1)];
        engine.contained(key, now, |_| panic!("a bug of ours, made by this test"));
        let closed = engine.poll_event();
        assert!(
            matches!(
                closed,
                Some(Event::TransportState {
                    transport: TransportId(1),
                    state: TransportState::Closed,
                    reason: CloseReason::Internal,
                    ..
                })
            ),
            "{closed:?}"
        );
        assert!(engine.poll_event().is_none());
        assert_eq!(engine.transports.len(), 1);
        assert_eq!(engine.routes.by_ufrag("001"), None);
        assert!(engine.routes.by_ufrag("002").is_some());
    }
}
