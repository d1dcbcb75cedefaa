//! Datagrams out: batches, segmented runs, and what to do when the kernel is full.

use std::ops::Range;
use std::time::{Duration, Instant};

use airside_engine::net::{Transmit, TransmitArena};

use super::sys::{Message, SendMemory};
use super::{Locals, Socket};
use crate::local_ring::is_local;

/// Messages per sendmmsg. More gains nothing: the call's own cost is spread thin already.
const MAX_MESSAGES: usize = 256;
/// Datagrams in one segmented send (UDP_MAX_SEGMENTS of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;
/// Payload of one segmented send: the largest UDP length less IPv6 and UDP headers.
const MAX_SEGMENTED_BYTES: usize = 65_535 - 48;
/// How long datagrams wait for room in the kernel before they are worthless.
const MAX_WAIT: Duration = Duration::from_millis(10);
/// How much may wait per socket: 10 ms of 3 Gbit/s.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// Sends for one worker; keeps what the kernel has no room for until the next turn.
pub(crate) struct Transmitter {
    memory: SendMemory,
    plan: Vec<Planned>,
    /// By number of the socket.
    queues: Vec<Queue>,
    /// Sockets with something in `turn`.
    touched: Vec<u16>,
    /// Figures since the start.
    pub(crate) stats: TransmitStats,
}

/// What became of datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TransmitStats {
    /// Taken by the kernel.
    pub(crate) sent: u64,
    /// Bytes of these.
    pub(crate) sent_bytes: u64,
    /// Calls of sendmmsg.
    pub(crate) calls: u64,
    /// Datagrams that went out as part of a segmented send.
    pub(crate) segmented: u64,
    /// Dropped: the kernel stayed full.
    pub(crate) dropped_full: u64,
    /// Dropped: the kernel refused them (no route, filtered), or their socket is closed.
    pub(crate) dropped_refused: u64,
}

/// One message of the call under way: datagrams `first..first + datagrams` of the turn.
#[derive(Clone, Copy)]
struct Planned {
    first: usize,
    datagrams: usize,
    bytes: usize,
}

/// One socket's datagrams. A full socket holds up no other.
#[derive(Default)]
struct Queue {
    /// Of this turn: indices into the arena.
    turn: Vec<usize>,
    /// Without room in the kernel, oldest first, with their bytes.
    waiting: Vec<Transmit>,
    since: Vec<Instant>,
    bytes: Vec<u8>,
}

impl Transmitter {
    pub(crate) fn new() -> Self {
        Self {
            memory: SendMemory::new(MAX_MESSAGES),
            plan: Vec::with_capacity(MAX_MESSAGES),
            queues: Vec::new(),
            touched: Vec::new(),
            stats: TransmitStats::default(),
        }
    }

    /// Whether to wake when this socket can be written.
    pub(crate) fn is_waiting(&self, socket: u16) -> bool {
        self.queues.get(usize::from(socket)).is_some_and(|queue| !queue.waiting.is_empty())
    }

    /// Forgets what waits for a socket that is closed.
    pub(crate) fn forget(&mut self, socket: u16) {
        if let Some(queue) = self.queues.get_mut(usize::from(socket)) {
            self.stats.dropped_refused += queue.waiting.len() as u64;
            queue.clear();
        }
    }

    /// Tries again what waits for this socket, and drops what waited too long.
    pub(crate) fn retry(
        &mut self,
        number: u16,
        socket: &mut Socket,
        locals: &mut Locals,
        now: Instant,
    ) {
        if !self.is_waiting(number) {
            return;
        }
        let mut queue = std::mem::take(&mut self.queues[usize::from(number)]);
        let expired = queue.since.iter().take_while(|since| now >= **since + MAX_WAIT).count();
        self.stats.dropped_full += expired as u64;
        let fresh: Vec<usize> = (expired..queue.waiting.len()).collect();
        match self.send(socket, locals, &queue.waiting, &queue.bytes, &fresh) {
            None => queue.clear(),
            Some(first) => {
                queue.waiting.drain(..expired + first);
                queue.since.drain(..expired + first);
            }
        }
        self.queues[usize::from(number)] = queue;
    }

    /// Sends everything in the arena that is for sockets, or keeps it for [`Transmitter::retry`].
    /// Returns the sockets that were full.
    pub(crate) fn flush(
        &mut self,
        sockets: &mut [Option<Socket>],
        locals: &mut Locals,
        arena: &TransmitArena,
        now: Instant,
        mut on_full: impl FnMut(u16),
    ) {
        self.queues.resize_with(sockets.len().max(self.queues.len()), Queue::default);
        for (index, entry) in arena.entries().iter().enumerate() {
            if is_local(&entry.tuple) {
                continue;
            }
            let (socket, _) = locals.resolve(entry.tuple.local);
            let Some(queue) = self.queues.get_mut(usize::from(socket)) else {
                self.stats.dropped_refused += 1;
                continue;
            };
            if queue.turn.is_empty() {
                self.touched.push(socket);
            }
            queue.turn.push(index);
        }
        while let Some(number) = self.touched.pop() {
            let at = usize::from(number);
            let mut turn = std::mem::take(&mut self.queues[at].turn);
            let unsent = match sockets.get_mut(at).and_then(Option::as_mut) {
                None => {
                    self.stats.dropped_refused += turn.len() as u64;
                    None
                }
                // Behind those that came before, or the receiver sees them out of order.
                Some(_) if self.is_waiting(number) => Some(0),
                Some(socket) => self.send(socket, locals, arena.entries(), arena.bytes(), &turn),
            };
            if let Some(first) = unsent {
                for index in &turn[first..] {
                    let entry = &arena.entries()[*index];
                    if !self.queues[at].push(entry, arena.data(entry), now) {
                        self.stats.dropped_full += 1;
                    }
                }
                on_full(number);
            }
            turn.clear();
            self.queues[at].turn = turn;
        }
    }

    /// Sends the entries that `turn` names. Returns the first position of it that found no room.
    fn send(
        &mut self,
        socket: &mut Socket,
        locals: &mut Locals,
        entries: &[Transmit],
        bytes: &[u8],
        turn: &[usize],
    ) -> Option<usize> {
        let mut next = 0;
        while next < turn.len() {
            self.plan.clear();
            let plan = &mut self.plan;
            let segmentation = socket.segmentation;
            let mut messages = Messages { locals, entries, bytes, turn, segmentation, next, plan };
            let result = self.memory.send(socket.fd(), &mut messages);
            let planned_to = messages.next;
            self.stats.calls += 1;
            match result {
                Ok(sent) => {
                    self.stats.count(&self.plan[..sent]);
                    next = self.plan.get(sent).map_or(planned_to, |planned| planned.first);
                }
                Err(error) => {
                    let Planned { first, datagrams, .. } = self.plan[0];
                    match error.raw_os_error() {
                        Some(libc::EAGAIN | libc::ENOBUFS) => return Some(first),
                        Some(libc::EINTR) => {}
                        // The device or the path cannot do it after all: no more on this socket.
                        Some(libc::EIO | libc::EINVAL) if datagrams > 1 => {
                            socket.segmentation = false;
                        }
                        _ => {
                            self.stats.dropped_refused += datagrams as u64;
                            next = first + datagrams;
                        }
                    }
                }
            }
        }
        None
    }
}

impl TransmitStats {
    fn count(&mut self, sent: &[Planned]) {
        for planned in sent {
            self.sent += planned.datagrams as u64;
            self.sent_bytes += planned.bytes as u64;
            if planned.datagrams > 1 {
                self.segmented += planned.datagrams as u64;
            }
        }
    }
}

impl Queue {
    fn push(&mut self, entry: &Transmit, data: &[u8], now: Instant) -> bool {
        let start = self.bytes.len();
        if start + data.len() > MAX_WAITING_BYTES {
            return false;
        }
        self.bytes.extend_from_slice(data);
        self.waiting.push(Transmit { tuple: entry.tuple, range: start..self.bytes.len() });
        self.since.push(now);
        true
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.waiting.clear();
        self.since.clear();
    }
}

/// Joins neighbouring datagrams of one path into messages.
struct Messages<'a> {
    locals: &'a mut Locals,
    entries: &'a [Transmit],
    bytes: &'a [u8],
    turn: &'a [usize],
    segmentation: bool,
    next: usize,
    plan: &'a mut Vec<Planned>,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let first = self.next;
        // One call takes no more, and the plan has to be that of the call.
        if first == self.turn.len() || self.plan.len() == MAX_MESSAGES {
            return None;
        }
        let entry = &self.entries[self.turn[first]];
        let (datagrams, range) = match self.segmentation {
            true => self.run(first),
            false => (1, entry.range.clone()),
        };
        self.next = first + datagrams;
        self.plan.push(Planned { first, datagrams, bytes: range.len() });
        let segment = match datagrams {
            1 => None,
            _ => u16::try_from(entry.range.len()).ok(),
        };
        let (_, source) = self.locals.resolve(entry.tuple.local);
        Some(Message { remote: entry.tuple.remote, data: &self.bytes[range], segment, source })
    }
}

impl Messages<'_> {
    /// How many datagrams from `first` the kernel can cut apart again, and their bytes: same path,
    /// same length, only the last may be shorter.
    fn run(&self, first: usize) -> (usize, Range<usize>) {
        let head = &self.entries[self.turn[first]];
        let len = head.range.len();
        let mut range = head.range.clone();
        let mut datagrams = 1;
        for index in &self.turn[first + 1..] {
            let other = &self.entries[*index];
            let joins = other.range.start == range.end
                && other.tuple == head.tuple
                && other.range.len() <= len
                && other.range.end - range.start <= MAX_SEGMENTED_BYTES
                && datagrams < MAX_SEGMENTS;
            if !joins {
                break;
            }
            range.end = other.range.end;
            datagrams += 1;
            if other.range.len() < len {
                break;
            }
        }
        (datagrams, range)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use airside_engine::net::{Protocol, Tuple};

    use super::*;

    struct Setup {
        transmitter: Transmitter,
        sockets: Vec<Option<Socket>>,
        locals: Locals,
        arena: TransmitArena,
        peers: Vec<UdpSocket>,
    }

    impl Setup {
        fn new(peers: usize) -> Self {
            let bind = || Some(Socket::bind("127.0.0.1:0".parse().unwrap(), false).unwrap());
            let peer = || {
                let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
                peer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                peer
            };
            Self {
                transmitter: Transmitter::new(),
                sockets: vec![bind(), bind()],
                locals: Locals::default(),
                arena: TransmitArena::new(),
                peers: (0..peers).map(|_| peer()).collect(),
            }
        }

        fn push(&mut self, local: u16, peer: usize, data: &[u8]) {
            let remote = self.peers[peer].local_addr().unwrap();
            self.arena.push(Tuple { protocol: Protocol::Udp, local, remote }, data);
        }

        fn flush(&mut self) -> TransmitStats {
            let mut full = 0;
            self.transmitter.flush(
                &mut self.sockets,
                &mut self.locals,
                &self.arena,
                Instant::now(),
                |_| full += 1,
            );
            assert_eq!(full, 0);
            self.arena.clear();
            self.transmitter.stats
        }

        fn receive(&self, peer: usize) -> (Vec<u8>, SocketAddr) {
            let mut buffer = [0; 2048];
            let (len, from) = self.peers[peer].recv_from(&mut buffer).unwrap();
            (buffer[..len].to_vec(), from)
        }
    }

    #[test]
    fn a_run_of_equal_datagrams_is_one_message_and_arrives_apart() {
        let mut setup = Setup::new(2);
        for byte in 0..5 {
            setup.push(0, 0, &[byte; 100]);
        }
        setup.push(0, 0, &[5; 40]);
        setup.push(0, 1, &[6; 40]);
        let stats = setup.flush();
        assert_eq!((stats.sent, stats.calls, stats.sent_bytes), (7, 1, 580));
        for byte in 0..5 {
            assert_eq!(setup.receive(0).0, [byte; 100]);
        }
        assert_eq!(setup.receive(0).0, [5; 40]);
        assert_eq!(setup.receive(1).0, [6; 40]);
        let segmentation = setup.sockets[0].as_ref().unwrap().segmentation;
        assert_eq!(stats.segmented, if segmentation { 6 } else { 0 });
    }

    #[test]
    fn each_datagram_leaves_by_the_socket_of_its_path() {
        let mut setup = Setup::new(1);
        setup.push(1, 0, b"one");
        setup.push(0, 0, b"two");
        assert_eq!(setup.flush().calls, 2);
        for _ in 0..2 {
            let (data, from) = setup.receive(0);
            let socket = if data == b"one" { 1 } else { 0 };
            assert_eq!(from, setup.sockets[socket].as_ref().unwrap().address());
        }
    }

    #[test]
    fn more_than_one_call_takes_arrives_whole_and_in_order() {
        let mut setup = Setup::new(2);
        let count = MAX_MESSAGES + 10;
        for index in 0..count {
            setup.push(0, index % 2, &u32::try_from(index).unwrap().to_be_bytes());
        }
        let stats = setup.flush();
        assert_eq!((stats.sent, stats.calls), (count as u64, 2));
        for index in 0..count {
            assert_eq!(setup.receive(index % 2).0, u32::try_from(index).unwrap().to_be_bytes());
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_dropped_alone() {
        let mut setup = Setup::new(1);
        let tuple = Tuple {
            protocol: Protocol::Udp,
            local: 0,
            // No port 0: EINVAL, like an address without a route.
            remote: "127.0.0.1:0".parse().unwrap(),
        };
        setup.push(0, 0, b"before");
        setup.arena.push(tuple, b"lost");
        setup.push(0, 0, b"after");
        setup.push(9, 0, b"no such socket");
        let stats = setup.flush();
        assert_eq!((stats.sent, stats.dropped_refused), (2, 2));
        assert_eq!(setup.receive(0).0, b"before");
        assert_eq!(setup.receive(0).0, b"after");
    }

    #[test]
    fn segmentation_is_given_up_when_a_send_says_so() {
        let mut setup = Setup::new(1);
        // Segments above the MTU of the path: EINVAL.
        for byte in 0..3 {
            setup.push(0, 0, &vec![byte; 16_000]);
        }
        for byte in 3..6 {
            setup.push(0, 0, &[byte; 10]);
        }
        let had = setup.sockets[0].as_ref().unwrap().segmentation;
        let stats = setup.flush();
        assert_eq!(stats.sent, 6);
        if had && stats.calls > 1 {
            assert!(!setup.sockets[0].as_ref().unwrap().segmentation);
            assert_eq!(stats.segmented, 0);
        }
    }

    #[test]
    fn waiting_datagrams_are_sent_in_order_or_dropped_in_time() {
        let mut setup = Setup::new(1);
        let remote = setup.peers[0].local_addr().unwrap();
        let tuple = Tuple { protocol: Protocol::Udp, local: 0, remote };
        let start = Instant::now();
        let late = start + MAX_WAIT;
        setup.transmitter.queues.resize_with(2, Queue::default);
        let entry = Transmit { tuple, range: 0..3 };
        assert!(setup.transmitter.queues[0].push(&entry, b"old", start));
        assert!(setup.transmitter.queues[0].push(&entry, b"new", late));
        assert!(setup.transmitter.is_waiting(0));
        let Setup { transmitter, sockets, locals, .. } = &mut setup;
        transmitter.retry(0, sockets[0].as_mut().unwrap(), locals, late);
        assert!(!transmitter.is_waiting(0));
        assert_eq!((transmitter.stats.dropped_full, transmitter.stats.sent), (1, 1));
        assert_eq!(setup.receive(0).0, b"new");
    }

    #[test]
    fn what_may_wait_is_bounded() {
        let mut queue = Queue::default();
        let remote = SocketAddr::from(([127, 0, 0, 1], 9));
        let entry =
            Transmit { tuple: Tuple { protocol: Protocol::Udp, local: 0, remote }, range: 0..0 };
        let now = Instant::now();
        let data = vec![0; 1 << 20];
        let kept = (0..10).filter(|_| queue.push(&entry, &data, now)).count();
        assert_eq!(kept, 4);
    }
}
