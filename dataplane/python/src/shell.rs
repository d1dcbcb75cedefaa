//! Starts, feeds and stops the workers. Knows no Python; the binding and the benchmarks use it.

mod media;
mod sockets;

use sockets::Numbers;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU16;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use airside_dtls::{Identity, IdentityError};
use airside_engine::clock::WallClock;
use airside_engine::command::Command;
use airside_engine::event::Event;
use airside_engine::ids::{TrackId, TransportId, WorkerId};
use airside_engine::units::NtpTime;
use airside_engine::{ClientMessage, Engine, EngineConfig};
use bytes::Bytes;

use crate::players::Gauge;
use crate::queues::Queues;
use crate::ring::{Ring, Waker};
use crate::taps::Taps;
use crate::udp::{self, Locals, SharedLocals, Socket};
use crate::worker::{Backlog, Order, Setup, Worker};

/// Set-up of a plane.
#[derive(Clone, Debug)]
pub struct ShellConfig {
    /// Packet workers, one thread each; at least 1.
    pub workers: u8,
    /// Where to receive. Port 0: any. May be empty for a plane of clients.
    pub bind: Vec<SocketAddr>,
    /// Worker n takes the port plus n, in place of one port for all.
    pub port_per_worker: bool,
    /// Voices of a large room that are forwarded at once; 0: all.
    pub voices: usize,
    /// Start of all that is random in the engines.
    pub seed: u64,
}

/// Why a plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A wish that cannot be met by anyone.
    #[error("{0}")]
    Config(&'static str),
    /// The kernel refuses an address.
    #[error("cannot receive at UDP {address}: {error}")]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// What the kernel says.
        error: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No thread or descriptor.
    #[error("cannot start a packet worker: {0}")]
    Thread(#[from] io::Error),
}

/// A call that names something that is not there, or comes after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UseError {
    /// Workers count from 0.
    #[error("no such worker")]
    Worker,
    /// Never opened, or closed.
    #[error("no such tap")]
    Tap,
    /// After `close`.
    #[error("the plane is closed")]
    Closed,
    /// 65 280 sockets are open, or as many local rings were.
    #[error("too many sockets or rings")]
    Sockets,
}

/// All workers of one process, from outside. Every method may be called from any thread.
#[derive(Debug)]
pub struct Shell {
    fingerprint: String,
    epoch: Instant,
    addresses: Vec<Vec<SocketAddr>>,
    workers: Vec<Handle>,
    events: Arc<Queues<Event>>,
    messages: Arc<Queues<ClientMessage>>,
    taps: Taps,
    players: Mutex<HashMap<TrackId, Arc<Gauge>>>,
    backlog: Arc<Backlog>,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Handle {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    numbers: Mutex<Numbers>,
    /// Of the next local ring. Never used again: news of one that ended may still be under way.
    next_ring: AtomicU16,
}

#[derive(Debug)]
struct Running {
    threads: Vec<JoinHandle<()>>,
    /// One message per worker that ended, and how many are still to come.
    ended: Receiver<()>,
    left: usize,
}

impl Shell {
    /// Binds all sockets, then starts all threads.
    ///
    /// # Errors
    /// See [`StartError`]; nothing runs then.
    pub fn start(config: &ShellConfig) -> Result<Self, StartError> {
        if config.workers == 0 {
            return Err(StartError::Config("at least one worker is needed"));
        }
        let identity = Identity::generate()?;
        let epoch = Instant::now();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ntp = NtpTime::from_unix(since_1970.unwrap_or_default());
        let clock = WallClock { instant: epoch, ntp };
        let sockets = bind_all(config)?;
        let addresses: Vec<Vec<SocketAddr>> =
            sockets.iter().map(|mine| mine.iter().map(Socket::address).collect()).collect();
        let events = Arc::new(Queues::new(usize::from(config.workers))?);
        let messages = Arc::new(Queues::new(usize::from(config.workers))?);
        let backlog = Arc::new(Backlog::default());
        let wakers = (0..config.workers).map(|_| Waker::new().map(Arc::new));
        let wakers = wakers.collect::<io::Result<Vec<_>>>()?;
        let shared = SharedLocals::default();
        let (ends, ended) = channel();
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        let parts = Ring::connect(&wakers).into_iter().zip(sockets).zip(wakers);
        for (id, ((ring, sockets), waker)) in (0..config.workers).zip(parts) {
            let (orders, receiver) = channel();
            let engine = Engine::new(EngineConfig {
                worker: WorkerId(id),
                worker_count: config.workers,
                shared_port: !config.port_per_worker,
                voices: config.voices,
                identity: identity.clone(),
                // Another random run for each worker; the constant is that of SplitMix64.
                seed: config.seed ^ (u64::from(id) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                clock,
            });
            let next = u16::try_from(sockets.len()).unwrap_or(u16::MAX);
            let setup = Setup {
                id: WorkerId(id),
                engine,
                sockets,
                locals: Locals::new(Arc::clone(&shared)),
                ring,
                orders: receiver,
                waker: Arc::clone(&waker),
                events: Arc::clone(&events),
                messages: Arc::clone(&messages),
                backlog: Arc::clone(&backlog),
            };
            let worker = Worker::new(setup)?;
            let numbers = Mutex::new(Numbers { next, free: Vec::new() });
            workers.push(Handle { orders, waker, numbers, next_ring: AtomicU16::new(0) });
            threads.push((id, worker, Sender::clone(&ends)));
        }
        let spawn = |(id, worker, end): (u8, Worker, Sender<()>)| {
            std::thread::Builder::new().name(format!("airside-{id}")).spawn(move || {
                run(id, worker);
                let _ = end.send(());
            })
        };
        let threads = threads.into_iter().map(spawn).collect::<io::Result<Vec<_>>>()?;
        let fingerprint = identity.fingerprint().to_string();
        let running = Mutex::new(Running { left: threads.len(), threads, ended });
        Ok(Self {
            fingerprint,
            epoch,
            addresses,
            workers,
            events,
            messages,
            taps: Taps::default(),
            players: Mutex::default(),
            backlog,
            running,
        })
    }

    /// Hash name and digest of our certificate, as in SDP.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Zero of the times in generated payloads and of meters.
    #[must_use]
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Where each worker receives.
    #[must_use]
    pub fn addresses(&self) -> &[Vec<SocketAddr>] {
        &self.addresses
    }

    /// Readable while [`Shell::drain`] would return something.
    #[must_use]
    pub fn event_fd(&self) -> i32 {
        self.events.ready().raw_fd()
    }

    /// Hands commands to one worker; they are done in order.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn submit(&self, worker: WorkerId, commands: Vec<Command>) -> Result<(), UseError> {
        self.order(worker, Order::Commands(commands))
    }

    /// Takes out up to `limit` events.
    #[must_use]
    pub fn drain(&self, limit: usize) -> Vec<(WorkerId, Event)> {
        self.events.drain(limit)
    }

    /// Readable while [`Shell::drain_messages`] would return something.
    #[must_use]
    pub fn message_fd(&self) -> i32 {
        self.messages.ready().raw_fd()
    }

    /// Takes out up to `limit` data messages that transports in client role received.
    #[must_use]
    pub fn drain_messages(&self, limit: usize) -> Vec<ClientMessage> {
        self.messages.drain(limit).into_iter().map(|(_, message)| message).collect()
    }

    /// Bytes of reliable messages of a transport in client role that its channel has no room for yet.
    #[must_use]
    pub fn unsent(&self, transport: TransportId) -> usize {
        self.backlog.of(transport)
    }

    /// Sends data messages over the channels of a transport in client role: whether over the one
    /// that loses nothing, and the envelope. What cannot be sent is counted as a drop; of the reliable
    /// channel only what is beyond 8 MiB that wait.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn send_messages(
        &self,
        worker: WorkerId,
        transport: TransportId,
        messages: Vec<(bool, Bytes)>,
    ) -> Result<(), UseError> {
        self.order(worker, Order::Send { transport, messages })
    }

    /// Ends all workers after what they were ordered so far, and waits for their threads.
    /// A second call does nothing. Returns whether all ended in time.
    #[must_use]
    pub fn close(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let mut running = lock(&self.running);
        for worker in &self.workers {
            // A worker that ended already has no queue any more.
            let _ = worker.orders.send(Order::Stop);
            worker.waker.wake();
        }
        while running.left > 0 {
            let wait = until.saturating_duration_since(Instant::now());
            if running.ended.recv_timeout(wait).is_err() {
                return false;
            }
            running.left -= 1;
        }
        for thread in running.threads.drain(..) {
            // It told its end after everything that could panic.
            let _ = thread.join();
        }
        true
    }

    fn handle(&self, worker: WorkerId) -> Result<&Handle, UseError> {
        self.workers.get(usize::from(worker.0)).ok_or(UseError::Worker)
    }

    fn order(&self, worker: WorkerId, order: Order) -> Result<(), UseError> {
        let handle = self.handle(worker)?;
        handle.orders.send(order).map_err(|_| UseError::Closed)?;
        handle.waker.wake();
        Ok(())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Threads must not outlive what they serve; a second close returns at once.
        let _ = self.close(Duration::from_secs(5));
    }
}

/// The body of one thread. What an engine's own containment lets through is a broken invariant of
/// the whole worker: hundreds of calls would be dead without a sign, so the process ends and says so.
fn run(id: u8, worker: Worker) {
    udp::block_signals();
    let ended = match catch_unwind(AssertUnwindSafe(|| worker.run())) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("cannot wait for its sockets: {error}"),
        Err(_) => "panicked, see above".to_owned(),
    };
    eprintln!("airside: packet worker {id} {ended}; the process cannot go on");
    std::process::abort();
}

/// Sockets of each worker, in the order of `bind`.
fn bind_all(config: &ShellConfig) -> Result<Vec<Vec<Socket>>, StartError> {
    let share = !config.port_per_worker && config.workers > 1;
    let mut first = config.bind.clone();
    let mut workers = Vec::new();
    for worker in 0..config.workers {
        let mut sockets = Vec::new();
        for (index, wanted) in config.bind.iter().enumerate() {
            let mut address = *wanted;
            if share && worker > 0 {
                address = first[index];
            } else if config.port_per_worker && address.port() != 0 {
                let port = address.port().checked_add(u16::from(worker));
                let beyond = StartError::Config("ports per worker end above 65535");
                address.set_port(port.ok_or(beyond)?);
            }
            let refused = |error| StartError::Bind { address, error };
            if share && worker == 0 && address.port() != 0 {
                // Sharing would let a second server on this machine take half of the datagrams.
                drop(Socket::bind(address, false).map_err(refused)?);
            }
            let socket = Socket::bind(address, share).map_err(refused)?;
            if worker == 0 {
                first[index] = socket.address();
            }
            sockets.push(socket);
        }
        workers.push(sockets);
    }
    Ok(workers)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(workers: u8, port_per_worker: bool) -> ShellConfig {
        let bind = vec!["127.0.0.1:0".parse().unwrap()];
        ShellConfig { workers, bind, port_per_worker, voices: 0, seed: 1 }
    }

    fn wait_for(shell: &Shell, count: usize) -> Vec<(WorkerId, Event)> {
        let until = Instant::now() + Duration::from_secs(5);
        let mut events = Vec::new();
        while events.len() < count && Instant::now() < until {
            events.extend(shell.drain(100));
            std::thread::yield_now();
        }
        events
    }

    #[test]
    fn workers_share_one_port_or_have_their_own() {
        let shared = Shell::start(&config(3, false)).unwrap();
        let ports: Vec<_> = shared.addresses().iter().map(|each| each[0].port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]));
        let apart = Shell::start(&config(2, true)).unwrap();
        assert_ne!(apart.addresses()[0][0].port(), apart.addresses()[1][0].port());
        assert!(shared.close(Duration::from_secs(5)));
    }

    #[test]
    fn a_second_plane_on_a_port_is_refused_even_where_ports_are_shared() {
        let one = Shell::start(&config(2, false)).unwrap();
        let mut two = config(2, false);
        two.bind = one.addresses()[0].clone();
        let error = Shell::start(&two).unwrap_err();
        assert!(matches!(error, StartError::Bind { .. }), "{error}");
        assert!(error.to_string().contains(&two.bind[0].to_string()));
    }

    #[test]
    fn every_worker_answers_and_reports_its_loop() {
        let shell = Shell::start(&config(2, false)).unwrap();
        for worker in 0..2 {
            let command = Command::ReadStats { token: u64::from(worker) };
            shell.submit(WorkerId(worker), vec![command]).unwrap();
        }
        let events = wait_for(&shell, 2);
        assert_eq!(events.len(), 2);
        for (worker, event) in events {
            let Event::Stats { token, columns } = event else { panic!("{event:?}") };
            assert_eq!((token, columns.worker), (u64::from(worker.0), worker.0));
            assert_eq!(columns.total("loop", "sockets"), 1);
        }
    }

    #[test]
    fn closing_is_in_time_and_final() {
        let shell = Shell::start(&config(2, false)).unwrap();
        assert!(shell.close(Duration::from_secs(5)));
        assert!(shell.close(Duration::ZERO));
        assert_eq!(shell.submit(WorkerId(0), Vec::new()), Err(UseError::Closed));
        assert_eq!(shell.submit(WorkerId(9), Vec::new()), Err(UseError::Worker));
    }

    #[test]
    fn socket_numbers_follow_the_bound_ones_and_come_back() {
        let shell = Shell::start(&config(1, false)).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let (one, address) = shell.open_socket(WorkerId(0), any, None).unwrap();
        let (two, _) = shell.open_socket(WorkerId(0), any, None).unwrap();
        assert_eq!((one, two), (1, 2));
        assert_ne!(address.port(), 0);
        shell.close_socket(WorkerId(0), one).unwrap();
        assert_eq!(shell.open_socket(WorkerId(0), any, None).unwrap().0, one);
    }

    #[test]
    fn no_worker_is_no_plane() {
        let error = Shell::start(&config(0, false)).unwrap_err();
        assert!(matches!(error, StartError::Config(_)));
    }
}
