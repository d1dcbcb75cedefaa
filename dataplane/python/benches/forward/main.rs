//! How many packets a worker forwards per second of processor time, beside the bare cost of
//! encrypting and sending them, and how long they stay.
//!
//! `cargo bench -p airside-python --bench forward -- [--seconds S] [--json FILE] [--only NAME]`
//!
//! One worker with its real sockets, pinned to one core. Publishers and sinks are one thread pinned
//! to another: publishers are real clients (ICE, DTLS, SRTP), sinks are the sockets of real
//! clients whose packets are counted and not decrypted. The limit writes to the same sinks from the
//! worker's core: the same profile, packet sizes and order, prepared headers, one sendmmsg per
//! burst, and nothing else; once plain, once with segmentation (UDP GSO).

#![allow(clippy::print_stdout, reason = "the table is the result")]
// A benchmark ends at the first thing that goes wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod call;
mod limit;
mod report;
mod sinks;
mod system;

use std::time::{Duration, Instant};

use airside_engine::command::MediaKind;

use call::Call;
use report::{Latency, Line, Report};

/// A subscriber more or less is nothing to a large room; DESIGN section 9 asks for 100.
const SUBSCRIBERS: usize = 100;
/// Before measuring: caches, pools and branch predictors.
const WARM_UP: Duration = Duration::from_millis(500);

/// One kind of load.
struct Scenario {
    name: &'static str,
    kind: MediaKind,
    publishers: usize,
    /// Packets of each publisher at once: a picture of 720p at 2.5 Mbit/s, a 20 ms frame of speech.
    burst: usize,
    /// Bursts under way in the saturated run. With several the worker always finds the next one.
    window: u64,
    payload_len: usize,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "video 1200 B, 1 to 100",
        kind: MediaKind::Video,
        publishers: 1,
        burst: 8,
        window: 4,
        payload_len: 1150,
    },
    // Nothing to batch or to segment for one receiver: every packet wakes the worker.
    Scenario {
        name: "video 1200 B, 1 to 100, single packets",
        kind: MediaKind::Video,
        publishers: 1,
        burst: 1,
        window: 1,
        payload_len: 1150,
    },
    Scenario {
        name: "audio 100 B, 10 to 100",
        kind: MediaKind::Audio,
        publishers: 10,
        burst: 1,
        window: 4,
        payload_len: 52,
    },
];

fn main() {
    let options = Options::read();
    let (worker_core, load_core) = system::two_cores();
    system::pin_this_thread(load_core);
    let mut report = Report::default();
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&options.only)) {
        let mut call =
            Call::establish(scenario.publishers, SUBSCRIBERS, scenario.kind, worker_core);
        call.prepare(scenario.burst, scenario.payload_len);
        run(&mut call, scenario.window, WARM_UP);
        let (forwarded, bytes) = run(&mut call, scenario.window, options.length);
        let per_cpu_s = forwarded.packets_per_cpu_s();
        let size = usize::try_from(bytes / forwarded.delivered.max(1)).unwrap();
        let burst = scenario.publishers * scenario.burst;
        let plain = limit::run(&mut call.sinks, size, burst, false, worker_core, options.length);
        let segmented = limit::run(&mut call.sinks, size, burst, true, worker_core, options.length);
        settle(&mut call);
        let rate = per_cpu_s / 2.0;
        let mut latency = promise_25_added_latency(&mut call, rate, options.length);
        let interval = interval(&call, rate);
        latency.limit = limit::on_the_clock(
            &mut call.sinks,
            size,
            burst,
            interval,
            worker_core,
            options.length,
        );
        report.add(scenario.name, size, forwarded, plain, segmented, latency);
    }
    print!("{report}");
    if let Some(path) = options.json {
        std::fs::write(path, report.json()).unwrap();
    }
}

struct Options {
    length: Duration,
    json: Option<String>,
    /// Part of a scenario's name.
    only: String,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { length: Duration::from_secs(3), json: None, only: String::new() };
        // Cargo adds `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next();
            match (name.as_str(), value) {
                ("--seconds", Some(value)) => {
                    options.length = Duration::from_secs_f64(value.parse().unwrap());
                }
                ("--json", Some(value)) => options.json = Some(value),
                ("--only", Some(value)) => options.only = value,
                (other, _) => panic!("unknown argument {other}"),
            }
        }
        options
    }
}

/// As fast as the worker can: the next burst goes out when the sinks have what came before.
fn run(call: &mut Call, window: u64, length: Duration) -> (Line, u64) {
    let before = call.worker_figures();
    let (delivered, bytes) = (call.delivered, call.delivered_bytes);
    let mut sent = 0;
    let start = Instant::now();
    let per_burst = call.packets_per_burst();
    while start.elapsed() < length {
        while sent < (call.delivered - delivered) / per_burst + window {
            call.send_burst();
            sent += 1;
        }
        call.turn(|_, _| ());
    }
    // What is under way.
    let end = Instant::now() + Duration::from_millis(200);
    while call.delivered - delivered < sent * per_burst && Instant::now() < end {
        call.turn(|_, _| ());
    }
    let after = call.worker_figures();
    let line = Line {
        delivered: call.delivered - delivered,
        expected: sent * per_burst,
        cpu: Duration::from_nanos(after.cpu_ns - before.cpu_ns),
        elapsed: start.elapsed(),
        segmented: after.segmented - before.segmented,
    };
    (line, call.delivered_bytes - bytes)
}

/// Until the sinks are empty: what the limit left there is nobody's latency.
fn settle(call: &mut Call) {
    let (mut seen, mut since) = (call.delivered, Instant::now());
    while since.elapsed() < Duration::from_millis(100) {
        call.turn(|_, _| ());
        if call.delivered != seen {
            (seen, since) = (call.delivered, Instant::now());
        }
    }
}

/// Bursts on the clock, at a rate that takes about half of the worker's core.
///
/// What the bare loop needs for the same bursts at the same rate is no one's to take away; what is
/// above that, this program adds.
fn promise_25_added_latency(call: &mut Call, packets_per_s: f64, length: Duration) -> Latency {
    let interval = interval(call, packets_per_s);
    let before = call.worker_figures();
    let mut latency = Latency::default();
    call.begin_timing();
    let start = Instant::now();
    let mut next = start;
    while start.elapsed() < length {
        if Instant::now() >= next {
            next += interval;
            call.send_burst();
        }
        call.turn(|sent, arrived| latency.record(arrived - sent));
    }
    let after = call.worker_figures();
    latency.finish(&before, &after, start.elapsed());
    latency
}

fn interval(call: &Call, packets_per_s: f64) -> Duration {
    Duration::from_secs_f64(call.packets_per_burst() as f64 / packets_per_s)
}
