//! One packet worker: a thread that turns around one engine and its sockets.
//!
//! A turn: sleep until something is there; receive a batch, let the engine work, send; then what
//! other workers passed on, what Python ordered, and timers; then tell the news. Media comes first,
//! everything else has a budget per turn. The thread takes no lock that another one may hold for
//! long, and never the interpreter's.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TrySendError};
use std::time::{Duration, Instant};

use airside_engine::command::Command;
use airside_engine::event::Event;
use airside_engine::ids::{TapId, TrackId, TransportId, WorkerId};
use airside_engine::net::{Datagram, Protocol};
use airside_engine::{ClientMessage, Engine};
use bytes::Bytes;

use crate::local_ring::{LocalRings, Records};
use crate::players::Player;
use crate::queues::{Offered, Queues};
use crate::ring::{Parcel, Ring, Waker};
use crate::taps::TapSender;
use crate::udp::{Locals, Poller, ReceiveBatch, Socket, Transmitter};
use crate::wires::{WireConfig, Wires};

pub(crate) use orders::{Backlog, LocalPacket, Order, PlayerOrder};
use stats::local_table;
pub(crate) use stats::{LoopStats, column};

mod local;
mod orders;
mod stats;

/// Parcels of other workers taken in one turn.
const PARCELS_PER_TURN: usize = 64;
/// How soon to try again what a full socket, or a queue that Python holds, did not take.
const RETRY: Duration = Duration::from_millis(1);
/// The same for reliable messages that found their channel full.
const RESEND: Duration = Duration::from_millis(5);
/// Token of the waker; sockets have their number.
const WAKER_TOKEN: u64 = u64::MAX;
/// Tokens of local rings: this bit and their number.
const LOCAL_TOKENS: u64 = 1 << 32;

/// Everything one thread owns.
pub(crate) struct Worker {
    id: WorkerId,
    engine: Engine,
    sockets: Vec<Option<Socket>>,
    locals: Locals,
    poller: Poller,
    batch: ReceiveBatch,
    /// Memory of the engine's view of a batch; empty between turns.
    datagrams: Vec<Datagram<'static>>,
    transmitter: Transmitter,
    /// Emulated networks in front of sockets; a server has none.
    wires: Option<Box<Wires>>,
    /// Ways to processes beside ours.
    local_rings: LocalRings,
    /// Memory of what is taken out of one.
    records: Records,
    /// Sockets with datagrams that wait for room.
    full: Vec<u16>,
    ring: Ring,
    /// Looked at before sleeping, not yet taken.
    next_parcel: Option<(WorkerId, Parcel)>,
    orders: Receiver<Order>,
    next_order: Option<Order>,
    commands: VecDeque<Command>,
    waker: Arc<Waker>,
    events: Arc<Queues<Event>>,
    messages: Arc<Queues<ClientMessage>>,
    offered: Offered,
    taps: HashMap<TapId, TapSender>,
    players: HashMap<TrackId, Player>,
    /// Reliable messages that found their channel full.
    unsent: HashMap<TransportId, VecDeque<Bytes>>,
    backlog: Arc<Backlog>,
    stats: LoopStats,
}

/// What a worker is given at its start.
pub(crate) struct Setup {
    pub(crate) id: WorkerId,
    pub(crate) engine: Engine,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) locals: Locals,
    pub(crate) ring: Ring,
    pub(crate) orders: Receiver<Order>,
    pub(crate) waker: Arc<Waker>,
    pub(crate) events: Arc<Queues<Event>>,
    pub(crate) messages: Arc<Queues<ClientMessage>>,
    pub(crate) backlog: Arc<Backlog>,
}

impl Worker {
    /// # Errors
    /// The kernel has no epoll descriptor left.
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let Setup { id, engine, sockets, locals, ring, orders, waker, events, messages, backlog } =
            setup;
        let poller = Poller::new()?;
        poller.watch(waker.event().raw_fd(), WAKER_TOKEN)?;
        for (number, socket) in (0u64..).zip(&sockets) {
            poller.watch(socket.raw_fd(), number)?;
        }
        Ok(Self {
            id,
            engine,
            sockets: sockets.into_iter().map(Some).collect(),
            locals,
            poller,
            batch: ReceiveBatch::new(),
            datagrams: Vec::new(),
            transmitter: Transmitter::new(),
            wires: None,
            local_rings: LocalRings::default(),
            records: Records::default(),
            full: Vec::new(),
            ring,
            next_parcel: None,
            orders,
            next_order: None,
            commands: VecDeque::new(),
            waker,
            events,
            messages,
            offered: Offered::All,
            taps: HashMap::new(),
            players: HashMap::new(),
            unsent: HashMap::new(),
            backlog,
            stats: LoopStats::default(),
        })
    }

    /// Turns until it is told to stop.
    ///
    /// # Errors
    /// The kernel refuses to wait on our descriptors: a bug on our side.
    pub(crate) fn run(mut self) -> io::Result<()> {
        loop {
            self.sleep()?;
            self.receive_ready();
            self.pass_wires();
            self.take_local();
            self.take_parcels();
            let stop = self.take_orders();
            self.play();
            self.handle_timeout();
            self.retry_full();
            self.retry_unsent();
            self.tell();
            if stop {
                return Ok(());
            }
        }
    }

    /// Waits until a socket is readable, a queue has something, or a time is due.
    fn sleep(&mut self) -> io::Result<()> {
        self.waker.doze();
        self.next_parcel = self.next_parcel.take().or_else(|| self.ring.receive());
        self.next_order = self.next_order.take().or_else(|| self.orders.try_recv().ok());
        let wait = self.wait();
        if wait != Some(Duration::ZERO) {
            self.stats.sleeps += 1;
        }
        let result = self.poller.wait(wait);
        self.waker.rise();
        self.local_rings.rise();
        result
    }

    fn wait(&mut self) -> Option<Duration> {
        let waiting = self.next_parcel.is_some() || self.next_order.is_some();
        if waiting || !self.commands.is_empty() {
            return Some(Duration::ZERO);
        }
        let players = self.players.values().map(Player::due);
        let due =
            self.engine.poll_timeout().into_iter().chain(self.wires_due()).chain(players).min();
        let due = due.into_iter().chain(self.local_due()).min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let retry = !self.full.is_empty() || self.offered == Offered::Later;
        let retry = retry.then_some(RETRY);
        let resend = (!self.unsent.is_empty()).then_some(RESEND);
        due.into_iter().chain(retry).chain(resend).min()
    }

    fn receive_ready(&mut self) {
        for index in 0.. {
            match self.poller.ready(index) {
                None => break,
                Some(WAKER_TOKEN) => self.waker.event().clear(),
                Some(ring) if ring & LOCAL_TOKENS != 0 => {
                    self.local_rings.on_readable((ring & u64::from(u16::MAX)) as u16);
                }
                Some(socket) => self.receive(u16::try_from(socket).unwrap_or(u16::MAX)),
            }
        }
    }

    /// One batch of one socket: in, through the engine, out.
    fn receive(&mut self, number: u16) {
        let Some(Some(socket)) = self.sockets.get(usize::from(number)) else { return };
        match self.batch.receive(socket) {
            Ok(0) => return,
            Ok(count) => self.stats.on_batch(count),
            Err(_) => {
                self.stats.receive_errors += 1;
                return;
            }
        }
        let now = Instant::now();
        if let Some(wires) = self.wires.as_mut().filter(|wires| wires.has(number)) {
            for incoming in self.batch.datagrams(number, &mut self.locals) {
                self.stats.received_bytes += incoming.data.len() as u64;
                wires.receive(number, &incoming, now);
            }
            return;
        }
        let mut batch = recycle(std::mem::take(&mut self.datagrams));
        for incoming in self.batch.datagrams(number, &mut self.locals) {
            let (local, remote, data) = (incoming.local, incoming.remote, incoming.data);
            self.stats.received_bytes += data.len() as u64;
            let datagram = Datagram { local, remote, protocol: Protocol::Udp, data };
            match self.engine.owner_of(&datagram) {
                None => batch.push(datagram),
                Some(owner) => {
                    self.ring.push_raw(owner, &datagram, now);
                    self.stats.handed_over += 1;
                }
            }
        }
        self.engine.handle_datagrams(&mut batch, now);
        self.datagrams = recycle(batch);
        self.flush(Some(now));
    }

    /// What has reached the end of its emulated network: in to the engine, out to the sockets.
    fn pass_wires(&mut self) {
        let now = Instant::now();
        let due = self.wires_due().is_some_and(|due| due <= now);
        let Some(wires) = self.wires.as_mut().filter(|_| due) else { return };
        let mut arrived = wires.advance(now);
        let (arena, full) = (wires.departed(), &mut self.full);
        self.transmitter.flush(&mut self.sockets, &mut self.locals, arena, now, |number| {
            if !full.contains(&number) {
                full.push(number);
            }
        });
        arena.clear();
        let mut batch = recycle(std::mem::take(&mut self.datagrams));
        batch.extend(arrived.iter_mut().map(|each| Datagram {
            local: each.local,
            remote: each.remote,
            protocol: Protocol::Udp,
            data: &mut each.data,
        }));
        self.engine.handle_datagrams(&mut batch, now);
        self.datagrams = recycle(batch);
        self.flush(Some(now));
    }

    fn wires_due(&self) -> Option<Instant> {
        self.wires.as_ref()?.poll_timeout()
    }

    fn take_parcels(&mut self) {
        for _ in 0..PARCELS_PER_TURN {
            let parcel = self.next_parcel.take().or_else(|| self.ring.receive());
            let Some((from, parcel)) = parcel else { break };
            match parcel {
                Parcel::Messages(messages) => {
                    self.engine.handle_ring(from, messages, Instant::now());
                    self.flush(None);
                }
                Parcel::Datagrams(mut raw) => {
                    let mut batch = recycle(std::mem::take(&mut self.datagrams));
                    batch.extend(raw.datagrams());
                    self.engine.handle_datagrams(&mut batch, Instant::now());
                    self.datagrams = recycle(batch);
                    self.flush(Some(raw.arrival));
                }
            }
        }
    }

    fn add_socket(&mut self, number: u16, socket: Socket, wire: Option<WireConfig>) {
        let index = usize::from(number);
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        // Out of descriptors or memory: the transport on it will fail to connect, and say so.
        if self.poller.watch(socket.raw_fd(), u64::from(number)).is_ok() {
            self.sockets[index] = Some(socket);
        }
        if let Some(config) = wire {
            self.wires.get_or_insert_default().add(number, &config);
        }
    }

    fn close_socket(&mut self, number: u16) {
        if let Some(socket) = self.sockets.get_mut(usize::from(number)) {
            *socket = None;
            self.transmitter.forget(number);
            if let Some(wires) = &mut self.wires {
                wires.remove(number);
            }
        }
    }

    fn handle_timeout(&mut self) {
        let Some(due) = self.engine.poll_timeout() else { return };
        let now = Instant::now();
        if due <= now {
            self.stats.lag.record(now - due, 1);
            self.engine.handle_timeout(now);
            self.flush(None);
        }
    }

    /// Sends what the engine made, and passes on what is for others. `received`: since when it
    /// was under way.
    fn flush(&mut self, received: Option<Instant>) {
        let arena = self.engine.transmits();
        if !arena.is_empty() {
            let now = Instant::now();
            if let Some(received) = received {
                self.stats.residence.record(now - received, arena.entries().len() as u64);
            }
            self.local_rings.send(arena);
            if let Some(wires) = &mut self.wires {
                wires.send(arena, now);
            } else {
                let full = &mut self.full;
                self.transmitter.flush(&mut self.sockets, &mut self.locals, arena, now, |number| {
                    if !full.contains(&number) {
                        full.push(number);
                    }
                });
            }
            arena.clear();
        }
        while let Some((to, message)) = self.engine.poll_ring() {
            self.ring.push(to, message);
        }
        self.ring.flush();
        while let Some((tap, packet)) = self.engine.poll_tap() {
            match self.taps.get(&tap).map(|sender| sender.try_send(packet)) {
                Some(Ok(())) => {}
                // A reader that does not read, or one that has gone.
                Some(Err(TrySendError::Full(_))) => self.stats.tap_dropped += 1,
                Some(Err(TrySendError::Disconnected(_))) | None => drop(self.taps.remove(&tap)),
            }
        }
    }

    fn retry_full(&mut self) {
        let (sockets, locals, transmitter) =
            (&mut self.sockets, &mut self.locals, &mut self.transmitter);
        self.full.retain(|number| {
            let Some(Some(socket)) = sockets.get_mut(usize::from(*number)) else { return false };
            transmitter.retry(*number, socket, locals, Instant::now());
            transmitter.is_waiting(*number)
        });
    }

    /// News for Python, as far as there is room.
    fn tell(&mut self) {
        let Self { engine, stats, transmitter, batch, ring, sockets, wires, local_rings, .. } =
            self;
        self.offered = self.events.offer(self.id, || {
            let mut event = engine.poll_event()?;
            if let Event::Stats { columns, .. } = &mut event {
                let sockets = sockets.iter().flatten();
                columns.tables.extend(stats.tables(
                    &transmitter.stats,
                    batch.unusable,
                    ring.dropped,
                    sockets,
                ));
                columns.tables.push(local_table(local_rings));
                columns.tables.extend(wires.as_ref().map(|wires| wires.table()));
            }
            Some(event)
        });
        if self.engine.has_messages() {
            let engine = &mut self.engine;
            let offered = self.messages.offer(self.id, || engine.poll_message());
            if offered == Offered::Later {
                self.offered = offered;
            }
        }
    }
}

/// The same memory for datagrams of another lifetime.
fn recycle<'a>(mut batch: Vec<Datagram<'_>>) -> Vec<Datagram<'a>> {
    batch.clear();
    // Collecting in place: no element is ever made, and the allocation stays.
    batch.into_iter().map_while(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recycling_keeps_the_memory() {
        let mut data = [0];
        let remote = "127.0.0.1:1".parse().unwrap();
        let mut batch = Vec::with_capacity(64);
        batch.push(Datagram { local: 0, remote, protocol: Protocol::Udp, data: &mut data });
        let memory = batch.as_ptr().addr();
        let batch = recycle(batch);
        assert!(batch.is_empty() && batch.capacity() == 64);
        assert_eq!(batch.as_ptr().addr(), memory);
    }
}
