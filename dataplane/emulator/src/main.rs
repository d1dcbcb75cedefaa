//! `airside-emulate`: a bad network between two network namespaces, for clients that know nothing of it.
//!
//! Makes one TUN device in each namespace and carries packets between them through a [`Link`] each
//! way. Commands come by standard input, a line each; answers go to standard output:
//!
//! ```text
//! airside-emulate SEED NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B
//! ab rate=300000 queue_ms=500     from A to B; what is not named stays      -> ok
//! ba loss=0.03                    from B to A                              -> ok
//! totals                          what both did                            -> one line of JSON
//! ```
//!
//! A namespace named `-` is the one the program is started in. The end of standard input ends it.

mod tun;

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use airside_emulator::{Link, LinkConfig, Totals};
use tun::Tun;

/// How long to wait for packets when none is due: bounds the delay of a command.
const IDLE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, space_a, device_a, space_b, device_b] = arguments.as_slice() else {
        eprintln!("usage: airside-emulate SEED NAMESPACE_A DEVICE_A NAMESPACE_B DEVICE_B");
        return ExitCode::from(2);
    };
    let opened = seed.parse().map_err(|_| "SEED is no number".to_owned()).and_then(|seed| {
        let a = Tun::open(space_a, device_a).map_err(|e| format!("{space_a} {device_a}: {e}"))?;
        let b = Tun::open(space_b, device_b).map_err(|e| format!("{space_b} {device_b}: {e}"))?;
        Ok(Path::new(a, b, seed))
    });
    match opened {
        Ok(mut path) => {
            say("ready");
            path.run(&commands());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("airside-emulate: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Lines of standard input; the channel closes at its end.
fn commands() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // The other end may be gone; then so are we, at the next read of standard input.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Two devices and a link each way.
struct Path {
    a: Tun,
    b: Tun,
    ab: Link<Vec<u8>>,
    ba: Link<Vec<u8>>,
}

impl Path {
    fn new(a: Tun, b: Tun, seed: u64) -> Self {
        let config = LinkConfig::default();
        Self { a, b, ab: Link::new(config, seed), ba: Link::new(config, seed.wrapping_add(1)) }
    }

    fn run(&mut self, commands: &Receiver<String>) {
        loop {
            match commands.try_recv() {
                Ok(line) => say(&self.command(&line)),
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
            let due = [self.ab.poll_timeout(), self.ba.poll_timeout()].into_iter().flatten().min();
            let wait = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            tun::wait(&self.a, &self.b, wait.min(IDLE));
            let now = Instant::now();
            carry(&mut self.a, &mut self.b, &mut self.ab, now);
            carry(&mut self.b, &mut self.a, &mut self.ba, now);
        }
    }

    fn command(&mut self, line: &str) -> String {
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match verb {
            "ab" => configure(&mut self.ab, rest),
            "ba" => configure(&mut self.ba, rest),
            "totals" => {
                format!("{{\"ab\":{},\"ba\":{}}}", json(self.ab.totals()), json(self.ba.totals()))
            }
            _ => format!("error: unknown command {verb:?}"),
        }
    }
}

/// Takes in what one device has, gives out to the other what is due.
fn carry(from: &mut Tun, to: &mut Tun, link: &mut Link<Vec<u8>>, now: Instant) {
    while let Some(packet) = from.receive() {
        let size = packet.len();
        // The fate is counted in the link's totals.
        let _ = link.send(packet, size, now);
    }
    while let Some(packet) = link.poll(now) {
        to.send(&packet);
    }
}

fn configure(link: &mut Link<Vec<u8>>, text: &str) -> String {
    let mut config = *link.config();
    match config.update(text) {
        Ok(()) => {
            link.configure(config);
            "ok".to_owned()
        }
        Err(problem) => format!("error: {problem}"),
    }
}

fn json(totals: Totals) -> String {
    format!(
        "{{\"sent\":{},\"delivered\":{},\"delivered_bytes\":{},\"dropped_outage\":{},\
         \"dropped_random\":{},\"dropped_queue\":{},\"delay_sum_s\":{},\"longest_queue_s\":{}}}",
        totals.sent,
        totals.delivered,
        totals.delivered_bytes,
        totals.dropped_outage,
        totals.dropped_random,
        totals.dropped_queue,
        totals.delay_sum.as_secs_f64(),
        totals.longest_queue.as_secs_f64(),
    )
}
