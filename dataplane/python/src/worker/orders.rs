//! What Python ordered of a worker, and what of that is done later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use airside_engine::command::Command;
use airside_engine::error::DropReason;
use airside_engine::ids::{TapId, TrackId, TransportId};
use airside_engine::load::GeneratedPacket;
use bytes::Bytes;

use super::Worker;
use crate::local_ring::LocalRing;
use crate::players::{Frame, Gauge, Played, Player};
use crate::taps::TapSender;
use crate::udp::Socket;
use crate::wires::WireConfig;

/// Commands done in one turn: some microseconds each, so a storm of joins delays media little.
const COMMANDS_PER_TURN: usize = 64;
/// Reliable messages of one transport that may wait for their channel, in bytes.
const MAX_BACKLOG: usize = 8 * 1024 * 1024;

/// What Python asks of one worker, in order.
pub(crate) enum Order {
    Commands(Vec<Command>),
    AddSocket(u16, Socket, Option<WireConfig>),
    CloseSocket(u16),
    AddLocalRing(u16, LocalRing),
    CloseLocalRing(u16),
    OpenTap(TapId, TapSender),
    CloseTap(TapId),
    Write { track: TrackId, layer: u8, packets: Vec<LocalPacket> },
    Play(TrackId, PlayerOrder),
    Send { transport: TransportId, messages: Vec<(bool, Bytes)> },
    Stop,
}

/// What Python asks of the player of one track.
pub(crate) enum PlayerOrder {
    /// With its first timestamp.
    Open(Arc<Gauge>, u32),
    Push(Vec<Frame>),
    Flush,
    Pause(bool),
    Close,
}

/// Bytes of reliable messages that wait for their channel, by transport; there is nothing of most.
#[derive(Debug, Default)]
pub(crate) struct Backlog(Mutex<HashMap<TransportId, usize>>);

impl Backlog {
    pub(crate) fn of(&self, transport: TransportId) -> usize {
        self.lock().get(&transport).copied().unwrap_or(0)
    }

    fn set(&self, transport: TransportId, bytes: usize) {
        if bytes == 0 {
            self.lock().remove(&transport);
        } else {
            self.lock().insert(transport, bytes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TransportId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One packet of a local source.
pub(crate) struct LocalPacket {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Of audio, in -dBov (RFC 6464).
    pub(crate) level: Option<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Worker {
    /// Returns whether to stop.
    pub(super) fn take_orders(&mut self) -> bool {
        let mut budget = COMMANDS_PER_TURN;
        let mut stop = false;
        while budget > 0 && !stop {
            if let Some(command) = self.commands.pop_front() {
                budget -= 1;
                self.engine.handle_command(command, Instant::now());
                self.flush(None);
                continue;
            }
            let order = self.next_order.take().or_else(|| self.orders.try_recv().ok());
            let Some(order) = order else { break };
            match order {
                Order::Commands(commands) => self.commands.extend(commands),
                Order::AddSocket(number, socket, wire) => self.add_socket(number, socket, wire),
                Order::CloseSocket(number) => self.close_socket(number),
                Order::AddLocalRing(number, ring) => self.add_local_ring(number, ring),
                Order::CloseLocalRing(number) => self.close_local_ring(number),
                Order::OpenTap(tap, sender) => drop(self.taps.insert(tap, sender)),
                Order::CloseTap(tap) => drop(self.taps.remove(&tap)),
                Order::Write { track, layer, packets } => {
                    let now = Instant::now();
                    for packet in &packets {
                        let LocalPacket { timestamp, marker, level, ref payload } = *packet;
                        let descriptor = None;
                        let packet = GeneratedPacket {
                            layer,
                            timestamp,
                            marker,
                            level,
                            descriptor,
                            payload,
                        };
                        if self.engine.inject(track, &packet, now).is_err() {
                            self.stats.write_refused += 1;
                        }
                    }
                    self.flush(None);
                }
                Order::Send { transport, messages } => {
                    let now = Instant::now();
                    for (reliable, bytes) in messages {
                        self.send(transport, reliable, bytes, now);
                    }
                    self.flush(None);
                }
                Order::Play(track, order) => self.order_player(track, order),
                Order::Stop => stop = true,
            }
        }
        stop
    }

    /// What is lossy is lost when it finds no room, and counted by the engine; the rest waits.
    fn send(&mut self, transport: TransportId, reliable: bool, bytes: Bytes, now: Instant) {
        if reliable && self.unsent.contains_key(&transport) {
            return self.keep(transport, bytes);
        }
        let sent = self.engine.send_message(transport, reliable, &bytes, now);
        if reliable && sent == Err(DropReason::DataQueueFull) {
            self.keep(transport, bytes);
        }
    }

    fn keep(&mut self, transport: TransportId, bytes: Bytes) {
        let waiting = self.backlog.of(transport) + bytes.len();
        if waiting > MAX_BACKLOG {
            self.stats.unsent_dropped += 1;
            return;
        }
        self.unsent.entry(transport).or_default().push_back(bytes);
        self.backlog.set(transport, waiting);
    }

    pub(super) fn retry_unsent(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        let now = Instant::now();
        let Self { engine, unsent, backlog, .. } = self;
        unsent.retain(|transport, waiting| {
            while let Some(bytes) = waiting.front() {
                match engine.send_message(*transport, true, bytes, now) {
                    Err(DropReason::DataQueueFull) => break,
                    Ok(()) => drop(waiting.pop_front()),
                    // It is closed, with all that was to go out.
                    Err(_) => waiting.clear(),
                }
            }
            backlog.set(*transport, waiting.iter().map(Bytes::len).sum());
            !waiting.is_empty()
        });
        self.flush(None);
    }

    fn order_player(&mut self, track: TrackId, order: PlayerOrder) {
        let now = Instant::now();
        match (order, self.players.get_mut(&track)) {
            (PlayerOrder::Open(gauge, timestamp), _) => {
                self.players.insert(track, Player::new(gauge, timestamp, now));
            }
            (PlayerOrder::Close, _) => drop(self.players.remove(&track)),
            (PlayerOrder::Push(frames), Some(player)) => player.push(frames, now),
            (PlayerOrder::Flush, Some(player)) => player.flush(),
            (PlayerOrder::Pause(paused), Some(player)) => player.pause(paused),
            // It crossed with the end of the player.
            (_, None) => {}
        }
    }

    /// What is due of all players.
    pub(super) fn play(&mut self) {
        let now = Instant::now();
        let mut played = false;
        for (track, player) in &mut self.players {
            while let Some(Played { timestamp, marker, level, payload }) = player.poll(now) {
                let packet = GeneratedPacket {
                    layer: 0,
                    timestamp,
                    marker,
                    level: Some(level),
                    descriptor: None,
                    payload: &payload,
                };
                played = true;
                if self.engine.inject(*track, &packet, now).is_err() {
                    self.stats.write_refused += 1;
                }
            }
        }
        if played {
            self.flush(None);
        }
    }
}
