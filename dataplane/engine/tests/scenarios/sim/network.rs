//! A seeded network: delay, jitter, loss and duplication per direction, and nothing else moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::lane::Lane;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What happens to datagrams on every path.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    pub delay: Duration,
    /// Extra delay of up to this much; above the gap between packets it reorders them.
    pub jitter: Duration,
    /// 0 to 1.
    pub loss: f64,
    /// 0 to 1.
    pub duplicates: f64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicates: 0.0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Flight {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

#[derive(Debug)]
pub struct Network {
    pub conditions: Conditions,
    random: SmallRng,
    seed: u64,
    /// Paths of one address that are worse, and are looked at.
    pub lanes: Vec<Lane>,
    /// By arrival, then by order of sending.
    flights: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    pub lost: u64,
    /// Nothing comes from or goes to these.
    pub blocked: Vec<SocketAddr>,
    /// DTLS from this one is lost: its checks come, its acknowledgements do not.
    pub deaf: Option<SocketAddr>,
    /// What this one sends is lost as often, beside the conditions of all.
    pub lossy_sender: Option<(SocketAddr, f64)>,
    /// The same for what it is sent.
    pub lossy_receiver: Option<(SocketAddr, f64)>,
    /// Every datagram sent so far, if a test wants to look or replay.
    pub capture: Option<Vec<Flight>>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self {
            conditions: Conditions::default(),
            random: SmallRng::seed_from_u64(seed),
            seed,
            lanes: Vec::new(),
            flights: BTreeMap::new(),
            sent: 0,
            lost: 0,
            blocked: Vec::new(),
            deaf: None,
            lossy_sender: None,
            lossy_receiver: None,
            capture: None,
        }
    }

    /// What goes to this client passes such a link from now on, in the emulator's words; a word that
    /// is missing keeps its value.
    pub fn narrow(&mut self, client: SocketAddr, link: &str) {
        match self.lanes.iter_mut().find(|lane| lane.leads_to(client)) {
            Some(lane) => lane.change(link),
            None => self.lanes.push(Lane::new(client, false, link, self.lane_seed(client))),
        }
    }

    /// The same in both directions, for a client that had none so far.
    pub fn narrow_both(&mut self, client: SocketAddr, up: &str, down: &str) {
        self.lanes.push(Lane::new(client, true, up, self.lane_seed(client) + 1));
        self.narrow(client, down);
    }

    fn lane_seed(&self, client: SocketAddr) -> u64 {
        self.seed << 16 | u64::from(client.port())
    }

    /// How long a packet to this client would wait in the queue of its link.
    pub fn queue_delay(&self, client: SocketAddr, now: Instant) -> Duration {
        let lane = self.lanes.iter().find(|lane| lane.leads_to(client));
        lane.map_or(Duration::ZERO, |lane| lane.queue_delay(now))
    }

    pub fn send(&mut self, flight: &Flight, now: Instant) {
        if let Some(capture) = &mut self.capture {
            capture.push(flight.clone());
        }
        if self.blocked.contains(&flight.from) || self.blocked.contains(&flight.to) {
            return;
        }
        if self.deaf == Some(flight.from) && (20..64).contains(&flight.data[0]) {
            return;
        }
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.is_for(flight)) {
            return lane.send(flight, now);
        }
        let conditions = self.conditions;
        let own = [(self.lossy_sender, flight.from), (self.lossy_receiver, flight.to)];
        let own = own.into_iter().filter_map(|(lossy, at)| lossy.filter(|(own, _)| *own == at));
        let own = own.map(|(_, loss)| loss).sum::<f64>();
        if self.random.random_bool(conditions.loss.max(own)) {
            self.lost += 1;
            return;
        }
        let copies = 1 + u32::from(self.random.random_bool(conditions.duplicates));
        for _ in 0..copies {
            let jitter = conditions.jitter.mul_f64(self.random.random::<f64>());
            self.sent += 1;
            self.flights.insert((now + conditions.delay + jitter, self.sent), flight.clone());
        }
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().filter_map(Lane::next_arrival);
        lanes.chain(self.flights.first_key_value().map(|((at, _), _)| *at)).min()
    }

    /// What has arrived by `now`.
    pub fn arrived(&mut self, now: Instant) -> Option<Flight> {
        if let Some(flight) = self.lanes.iter_mut().find_map(|lane| lane.arrived(now)) {
            return Some(flight);
        }
        let next = self.flights.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(next.remove())
    }
}
