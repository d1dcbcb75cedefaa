//! One direction of one client's path through the link emulator, with a log of what it really did to
//! each RTP stream.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use airside_emulator::Link;

use super::network::Flight;

/// IPv4 and UDP headers, which a bottleneck carries too.
const IP_UDP_LEN: usize = 28;
/// RTP ticks a second.
const VIDEO_RATE: f64 = 90_000.0;

/// What happened to the packets of one SSRC.
#[derive(Clone, Debug, Default)]
pub struct StreamLog {
    pub sent: u64,
    pub lost: u64,
    /// RFC 3550 A.8 over packets in order of arrival, in seconds. Of video only the first packet of
    /// each frame counts, of frames in order: their packets leave together, whatever the timestamp.
    pub jitter_s: f64,
    previous: Option<(Instant, u32)>,
}

/// A path that is worse than others'.
#[derive(Debug)]
pub struct Lane {
    client: SocketAddr,
    up: bool,
    link: Link<Flight>,
    pub streams: BTreeMap<u32, StreamLog>,
}

impl Lane {
    /// From the client (`up`) or to it.
    pub fn new(client: SocketAddr, up: bool, link: &str, seed: u64) -> Self {
        let link = Link::new(link.parse().unwrap(), seed);
        Self { client, up, link, streams: BTreeMap::new() }
    }

    /// Does this to packets sent from now on.
    pub fn change(&mut self, link: &str) {
        let mut config = *self.link.config();
        config.update(link).unwrap();
        self.link.configure(config);
    }

    /// It is the one to this client.
    pub fn leads_to(&self, client: SocketAddr) -> bool {
        !self.up && self.client == client
    }

    /// How long a packet sent now would wait for the bottleneck.
    pub fn queue_delay(&self, now: Instant) -> Duration {
        self.link.queue_delay(now)
    }

    pub fn is_for(&self, flight: &Flight) -> bool {
        self.client == if self.up { flight.from } else { flight.to }
    }

    pub fn send(&mut self, flight: &Flight, now: Instant) {
        let size = flight.data.len() + IP_UDP_LEN;
        let lost = self.link.send(flight.clone(), size, now).is_err();
        if let Some((ssrc, _)) = media(&flight.data) {
            let log = self.streams.entry(ssrc).or_default();
            log.sent += 1;
            log.lost += u64::from(lost);
        }
    }

    pub fn next_arrival(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    pub fn arrived(&mut self, now: Instant) -> Option<Flight> {
        let at = self.link.poll_timeout()?;
        let flight = self.link.poll(now)?;
        if let Some((ssrc, timestamp)) = media(&flight.data) {
            let rate = if flight.data[1] & 0x7f == 111 { 48_000.0 } else { VIDEO_RATE };
            self.streams.entry(ssrc).or_default().on_departure(timestamp, rate, at);
        }
        Some(flight)
    }

    /// Mean time that packets spent on it.
    pub fn mean_delay(&self) -> Duration {
        let totals = self.link.totals();
        totals.delay_sum.div_f64(totals.delivered.max(1) as f64)
    }
}

impl StreamLog {
    fn on_departure(&mut self, timestamp: u32, rate: f64, at: Instant) {
        let Some((before, from)) = self.previous else {
            self.previous = Some((at, timestamp));
            return;
        };
        #[expect(clippy::cast_possible_wrap, reason = "the signed distance is what is wanted")]
        let ticks = timestamp.wrapping_sub(from) as i32;
        if rate == VIDEO_RATE && ticks <= 0 {
            return;
        }
        let media_s = f64::from(ticks) / rate;
        let step_s = ((at - before).as_secs_f64() - media_s).abs();
        self.jitter_s += (step_s - self.jitter_s) / 16.0;
        self.previous = Some((at, timestamp));
    }
}

/// SSRC and timestamp of an RTP packet (RFC 7983, RFC 5761); they are in clear under SRTP.
fn media(data: &[u8]) -> Option<(u32, u32)> {
    let rtp = data.len() >= 12 && (128..192).contains(&data[0]) && !(192..224).contains(&data[1]);
    let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
    rtp.then(|| (word(8), word(4)))
}
