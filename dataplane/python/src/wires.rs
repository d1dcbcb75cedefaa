//! Emulated networks in front of sockets, for load tests: what such a socket sends and receives passes a seeded
//! link each way.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use airside_emulator::{Link, LinkConfig, Totals};
use airside_engine::net::{Transmit, TransmitArena, Tuple};
use airside_engine::stats::Table;

use crate::local_ring::is_local;
use crate::udp::Incoming;
use crate::worker::column;

/// IPv4 and UDP headers: a link's rate is that of the wire.
const HEADER_BYTES: usize = 28;
/// Stands for all sockets without a wire; no socket has this number.
const NO_SOCKET: u16 = u16::MAX;

/// What lies between one socket and the world.
#[derive(Clone, Copy, Debug)]
pub struct WireConfig {
    /// Of what the socket sends.
    pub up: LinkConfig,
    /// Of what it receives.
    pub down: LinkConfig,
    /// Decides every packet's fate.
    pub seed: u64,
}

/// A received datagram under way.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) local: u16,
    pub(crate) remote: SocketAddr,
    pub(crate) data: Vec<u8>,
}

/// All wires of one worker.
#[derive(Default)]
pub(crate) struct Wires {
    /// By number of the socket.
    wires: Vec<Option<Wire>>,
    /// When each wire has something next.
    due: BTreeSet<(Instant, u16)>,
    departed: TransmitArena,
    /// Of sockets that are closed, up and down.
    ended: [Totals; 2],
}

struct Wire {
    up: Link<(Tuple, Vec<u8>)>,
    down: Link<Arrival>,
    due: Option<Instant>,
}

impl Wires {
    pub(crate) fn has(&self, socket: u16) -> bool {
        self.wires.get(usize::from(socket)).is_some_and(Option::is_some)
    }

    pub(crate) fn add(&mut self, socket: u16, config: &WireConfig) {
        self.remove(socket);
        let index = usize::from(socket);
        if self.wires.len() <= index {
            self.wires.resize_with(index + 1, || None);
        }
        let up = Link::new(config.up, config.seed);
        let down = Link::new(config.down, !config.seed);
        self.wires[index] = Some(Wire { up, down, due: None });
    }

    /// What is under way is lost.
    pub(crate) fn remove(&mut self, socket: u16) {
        let Some(wire) = self.wires.get_mut(usize::from(socket)).and_then(Option::take) else {
            return;
        };
        self.ended[0] += wire.up.totals();
        self.ended[1] += wire.down.totals();
        if let Some(due) = wire.due {
            self.due.remove(&(due, socket));
        }
    }

    /// Takes everything a turn sends. What has no wire departs at once.
    pub(crate) fn send(&mut self, arena: &TransmitArena, now: Instant) {
        for entry in arena.entries() {
            let Transmit { tuple, .. } = *entry;
            if is_local(&tuple) {
                continue;
            }
            let data = arena.data(entry);
            // A wildcard socket has no wire, so the number is the socket's own.
            match self.wires.get_mut(usize::from(tuple.local)).and_then(Option::as_mut) {
                None => self.departed.push(tuple, data),
                Some(wire) => {
                    // The fate is counted in the link's totals.
                    let _ = wire.up.send((tuple, data.to_vec()), data.len() + HEADER_BYTES, now);
                    self.schedule(tuple.local);
                }
            }
        }
        if !self.departed.is_empty() {
            self.due.insert((now, NO_SOCKET));
        }
    }

    pub(crate) fn receive(&mut self, socket: u16, incoming: &Incoming<'_>, now: Instant) {
        let Some(Some(wire)) = self.wires.get_mut(usize::from(socket)) else { return };
        let (local, remote, data) = (incoming.local, incoming.remote, incoming.data.to_vec());
        let size = data.len() + HEADER_BYTES;
        // The fate is counted in the link's totals.
        let _ = wire.down.send(Arrival { local, remote, data }, size, now);
        self.schedule(socket);
    }

    /// When [`Wires::advance`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Moves what is due by `now`: out to [`Wires::departed`], in to the answer.
    pub(crate) fn advance(&mut self, now: Instant) -> Vec<Arrival> {
        let mut arrived = Vec::new();
        while let Some((due, socket)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, socket));
            let Some(Some(wire)) = self.wires.get_mut(usize::from(socket)) else { continue };
            wire.due = None;
            while let Some((tuple, data)) = wire.up.poll(now) {
                self.departed.push(tuple, &data);
            }
            arrived.extend(std::iter::from_fn(|| wire.down.poll(now)));
            self.schedule(socket);
        }
        arrived
    }

    /// What leaves for the world; to be cleared once it is sent.
    pub(crate) fn departed(&mut self) -> &mut TransmitArena {
        &mut self.departed
    }

    /// What all wires did so far: a row up, a row down.
    pub(crate) fn table(&self) -> Table {
        let mut totals = self.ended;
        for wire in self.wires.iter().flatten() {
            totals[0] += wire.up.totals();
            totals[1] += wire.down.totals();
        }
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let figure =
            |name, of: &dyn Fn(&Totals) -> u64| column(name, totals.iter().map(of).collect());
        let columns = vec![
            figure("sent", &|each| each.sent),
            figure("delivered", &|each| each.delivered),
            figure("delivered_bytes", &|each| each.delivered_bytes),
            figure("dropped_outage", &|each| each.dropped_outage),
            figure("dropped_random", &|each| each.dropped_random),
            figure("dropped_queue", &|each| each.dropped_queue),
            figure("delay_sum_us", &|each| micros(each.delay_sum)),
            figure("longest_queue_us", &|each| micros(each.longest_queue)),
        ];
        Table { name: "network", columns }
    }

    fn schedule(&mut self, socket: u16) {
        let Some(Some(wire)) = self.wires.get_mut(usize::from(socket)) else { return };
        let next = wire.up.poll_timeout().into_iter().chain(wire.down.poll_timeout()).min();
        if next == wire.due {
            return;
        }
        if let Some(before) = wire.due {
            self.due.remove(&(before, socket));
        }
        wire.due = next;
        self.due.extend(next.map(|due| (due, socket)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use airside_engine::net::Protocol;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn wires(up: &str, down: &str) -> Wires {
        let mut wires = Wires::default();
        let (up, down) = (up.parse().unwrap(), down.parse().unwrap());
        wires.add(3, &WireConfig { up, down, seed: 7 });
        wires
    }

    fn tuple(local: u16) -> Tuple {
        Tuple { protocol: Protocol::Udp, local, remote: "192.0.2.1:7".parse().unwrap() }
    }

    fn sent(wires: &mut Wires) -> Vec<u16> {
        let numbers = wires.departed().entries().iter().map(|entry| entry.tuple.local).collect();
        wires.departed().clear();
        numbers
    }

    #[test]
    fn what_a_wired_socket_sends_is_delayed_and_the_rest_is_not() {
        let (mut wires, now) = (wires("delay_ms=50", ""), Instant::now());
        let mut arena = TransmitArena::new();
        arena.push(tuple(3), b"later");
        arena.push(tuple(1), b"at once");
        wires.send(&arena, now);
        assert_eq!(wires.poll_timeout(), Some(now));
        assert!(wires.advance(now).is_empty());
        assert_eq!(sent(&mut wires), [1]);
        assert_eq!(wires.poll_timeout(), Some(now + 50 * MS));
        assert!(wires.advance(now + 50 * MS).is_empty());
        assert_eq!(sent(&mut wires), [3]);
        assert_eq!(wires.poll_timeout(), None);
    }

    #[test]
    fn what_it_receives_arrives_later_and_whole() {
        let (mut wires, now) = (wires("", "delay_ms=20"), Instant::now());
        let remote = "192.0.2.1:7".parse().unwrap();
        wires.receive(3, &Incoming { local: 3, remote, data: &mut [1, 2] }, now);
        assert!(wires.advance(now + 19 * MS).is_empty());
        let arrived = wires.advance(now + 20 * MS);
        assert_eq!(arrived.iter().map(|each| each.data.as_slice()).collect::<Vec<_>>(), [[1, 2]]);
    }

    #[test]
    fn figures_outlive_their_socket() {
        let (mut wires, now) = (wires("loss=1", ""), Instant::now());
        let mut arena = TransmitArena::new();
        arena.push(tuple(3), b"lost");
        wires.send(&arena, now);
        wires.remove(3);
        assert!(!wires.has(3));
        assert_eq!(wires.poll_timeout(), None);
        assert_eq!(wires.table().columns[4], column("dropped_random", vec![1, 0]));
    }
}
