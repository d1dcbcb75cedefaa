//! The limit: encrypt and send, from the worker's core to the same sinks, and nothing else.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use airside_engine::load::Histogram;
use airside_engine::srtp::{SrtpProfile, SrtpSender};

use crate::report::Line;
use crate::sinks::{Sinks, is_rtp};
use crate::system::{self, Writer};

/// Fixed header and the extensions that a forwarder writes.
const HEADER_LEN: usize = 28;
/// Messages per sendmmsg, as the worker's.
const MESSAGES: usize = 256;

/// Sends bursts of `burst` packets of `size` bytes to every sink.
pub(crate) fn run(
    sinks: &mut Sinks,
    size: usize,
    burst: usize,
    segmented: bool,
    core: usize,
    length: Duration,
) -> Line {
    let destinations = sinks.addresses();
    let done = AtomicBool::new(false);
    let (mut delivered, mut line) = (0, None);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            system::pin_this_thread(core);
            let line = send(&destinations, size, burst, segmented, length);
            done.store(true, Ordering::Release);
            line
        });
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            // The call goes on meanwhile: its checks and reports are not ours.
            sinks.drain(|_, data| delivered += u64::from(is_rtp(data)));
            if end.is_none() && done.load(Ordering::Acquire) {
                end = Some(Instant::now() + Duration::from_millis(200));
            }
        }
        line = sender.join().ok();
    });
    Line { delivered, ..line.unwrap() }
}

/// The same bursts on the clock: how long after the start of its burst each packet is at its sink.
/// No forwarder's receivers get theirs sooner.
pub(crate) fn on_the_clock(
    sinks: &mut Sinks,
    size: usize,
    burst: usize,
    interval: Duration,
    core: usize,
    length: Duration,
) -> Histogram {
    let destinations = sinks.addresses();
    let (done, starts) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut times = Histogram::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            system::pin_this_thread(core);
            let mut bursts = Bursts::new(&destinations, size, burst, true);
            let (begin, mut next) = (Instant::now(), Instant::now());
            while begin.elapsed() < length {
                while Instant::now() < next {
                    std::hint::spin_loop();
                }
                starts.lock().unwrap().push(Instant::now());
                bursts.send();
                next += interval;
            }
            done.store(true, Ordering::Release);
        });
        let mut known: Vec<Instant> = Vec::new();
        let mut seen = vec![0; destinations.len()];
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            sinks.drain(|sink, data| {
                if !is_rtp(data) {
                    return;
                }
                let of = seen[sink] / burst;
                seen[sink] += 1;
                if of >= known.len() {
                    known.clone_from(&starts.lock().unwrap());
                }
                if let Some(start) = known.get(of) {
                    times.record(start.elapsed(), 1);
                }
            });
            if end.is_none() && done.load(Ordering::Acquire) {
                end = Some(Instant::now() + Duration::from_millis(200));
            }
        }
    });
    times
}

fn send(
    destinations: &[SocketAddr],
    size: usize,
    burst: usize,
    segmented: bool,
    length: Duration,
) -> Line {
    let mut bursts = Bursts::new(destinations, size, burst, segmented);
    let (start, cpu) = (Instant::now(), system::cpu_time());
    let mut expected = 0;
    while start.elapsed() < length {
        bursts.send();
        expected += (burst * destinations.len()) as u64;
    }
    let segmented = if segmented && burst > 1 { expected } else { 0 };
    let (cpu, elapsed) = (system::cpu_time() - cpu, start.elapsed());
    Line { delivered: 0, expected, cpu, elapsed, segmented }
}

/// Everything that a burst needs, made before.
struct Bursts {
    socket: UdpSocket,
    senders: Vec<SrtpSender>,
    writers: Vec<Writer>,
    arena: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
    size: usize,
    burst: usize,
    index: u64,
}

impl Bursts {
    fn new(destinations: &[SocketAddr], size: usize, burst: usize, segmented: bool) -> Self {
        let profile = SrtpProfile::PREFERENCE[0];
        let sender = |index: usize| {
            let key = vec![u8::try_from(index % 256).unwrap(); profile.key_len()];
            SrtpSender::new(profile, &key, &key[..profile.salt_len()]).unwrap()
        };
        let senders: Vec<SrtpSender> = (0..destinations.len()).map(sender).collect();
        let mut header = header_and_payload(size - senders[0].rtp_overhead());
        let payload = header.split_off(HEADER_LEN);
        // Receiver by receiver, as a forwarder that keeps their keys at hand.
        let mut arena = vec![0; size * burst * destinations.len()];
        let writers = if segmented {
            let len = size * burst;
            let chunks = arena.chunks_mut(len * MESSAGES).zip(destinations.chunks(MESSAGES));
            chunks.map(|(arena, to)| Writer::new(to, arena, len, Some(size))).collect()
        } else {
            let to: Vec<_> = destinations.iter().flat_map(|to| vec![*to; burst]).collect();
            let chunks = arena.chunks_mut(size * MESSAGES).zip(to.chunks(MESSAGES));
            chunks.map(|(arena, to)| Writer::new(to, arena, size, None)).collect()
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Self { socket, senders, writers, arena, header, payload, size, burst, index: 0 }
    }

    fn send(&mut self) {
        let Self { size, burst, index, .. } = *self;
        let receivers = self.arena.chunks_mut(size * burst).zip(&mut self.senders);
        for (packets, sender) in receivers {
            for (at, packet) in packets.chunks_mut(size).enumerate() {
                packet[..HEADER_LEN].copy_from_slice(&self.header);
                let number = index + at as u64;
                packet[2..4].copy_from_slice(&number.to_be_bytes()[6..]);
                sender.protect_rtp_from(number, packet, HEADER_LEN, 0, &self.payload).unwrap();
            }
        }
        self.index += burst as u64;
        for writer in &mut self.writers {
            writer.send(&self.socket);
        }
    }
}

fn header_and_payload(len: usize) -> Vec<u8> {
    let mut packet = vec![0x55; len];
    packet[..HEADER_LEN].copy_from_slice(&[
        0x90, 96, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xBE, 0xDE, 0, 3, 0x10, b'0', 0x22, 1, 2, 3, 0x31,
        0, 0, 0, 0, 0,
    ]);
    packet
}
