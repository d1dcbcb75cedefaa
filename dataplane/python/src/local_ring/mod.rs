//! Rings between one of our workers and a process beside ours: records both ways in shared memory.
//!
//! The process is not trusted to keep them sound: what cannot be ends its ring. A socket of a pair wakes
//! whoever sleeps, once for a batch, and its end tells that the other process has gone, however it went.

mod memory;
mod queue;

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airside_engine::command::LocalPath;
use airside_engine::net::{Datagram, Protocol, TransmitArena, Tuple};

use memory::Memory;
use queue::{Broken, QUEUE_WORDS, Reader, Writer};

/// Records that one turn of the worker takes in: more, and others wait for too long.
const RECORDS_PER_TURN: usize = 128;
/// From a look that found something to the next: what comes meanwhile is one batch, and wakes nobody. A
/// quarter of a packet of sound; with forty voices a look finds ten.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Wake-ups that are read at once; each is a byte.
const WAKES: usize = 64;

/// Why a ring is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other process has closed it, or has died.
    Gone,
    /// It wrote what cannot be.
    Broken,
}

impl From<Broken> for End {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

/// What the other process needs to take its side, by inheritance.
#[derive(Debug)]
pub struct Handover {
    /// The memory.
    pub memory: OwnedFd,
    /// Its socket of the pair.
    pub socket: OwnedFd,
}

impl Handover {
    /// From descriptors that stay open.
    ///
    /// # Errors
    /// They are none.
    pub fn duplicate(memory: RawFd, socket: RawFd) -> io::Result<Self> {
        Ok(Self { memory: memory::duplicate(memory)?, socket: memory::duplicate(socket)? })
    }
}

/// One side of a ring.
#[derive(Debug)]
pub struct LocalRing {
    writer: Writer,
    reader: Reader,
    socket: UnixStream,
}

impl LocalRing {
    /// A new ring: our side, and what the other process gets.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn create() -> io::Result<(Self, Handover)> {
        let (memory, descriptor) = Memory::create(2 * QUEUE_WORDS)?;
        let (ours, theirs) = UnixStream::pair()?;
        let ring = Self::on(memory, ours, [0, QUEUE_WORDS])?;
        Ok((ring, Handover { memory: descriptor, socket: theirs.into() }))
    }

    /// The other side of a ring. One at a time may be used: both would read the same records.
    ///
    /// # Errors
    /// These descriptors are not those of a ring.
    pub fn join(handover: Handover) -> io::Result<Self> {
        let memory = Memory::open(handover.memory, 2 * QUEUE_WORDS)?;
        Self::on(memory, handover.socket.into(), [QUEUE_WORDS, 0])
    }

    fn on(memory: Memory, socket: UnixStream, [out, back]: [usize; 2]) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let memory = Arc::new(memory);
        let writer = Writer::new(Arc::clone(&memory), out);
        Ok(Self { writer, reader: Reader::new(memory, back), socket })
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Shows what was written, and wakes the other side if it sleeps.
    fn flush(&mut self) {
        if self.writer.publish() {
            // A socket that is full of wake-ups is readable already; one that is closed tells so itself.
            let _ = (&self.socket).write(&[0]);
        }
    }

    /// Takes the wake-ups out of the socket.
    fn clear(&self) -> Result<(), End> {
        match (&self.socket).read(&mut [0; WAKES]) {
            Ok(0) => Err(End::Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(End::Gone),
        }
    }
}

/// Records taken out of a ring, to be changed in place.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    entries: Vec<(u64, usize)>,
}

impl Records {
    pub(crate) fn datagrams(&mut self, ring: u16) -> impl Iterator<Item = Datagram<'_>> {
        let mut rest = self.bytes.as_mut_slice();
        self.entries.iter().map(move |(route, len)| {
            let (data, behind) = std::mem::take(&mut rest).split_at_mut(*len);
            rest = behind;
            let Tuple { protocol, local, remote } = Tuple::local(LocalPath { ring, route: *route });
            Datagram { local, remote, protocol, data }
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What passed all rings of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalStats {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Dropped: the other process did not keep up.
    pub(crate) full: u64,
    /// Rings that ended because of what the other process wrote.
    pub(crate) broken: u64,
}

/// All rings of one worker, by number.
#[derive(Debug, Default)]
pub(crate) struct LocalRings {
    rings: Vec<Option<LocalRing>>,
    /// Rings that are over, to be told.
    ended: Vec<(u16, End)>,
    /// When to look again; until then nobody is asked to wake us.
    look_at: Option<Instant>,
    pub(crate) stats: LocalStats,
}

impl LocalRings {
    pub(crate) fn add(&mut self, number: u16, ring: LocalRing) {
        let index = usize::from(number);
        if self.rings.len() <= index {
            self.rings.resize_with(index + 1, || None);
        }
        self.rings[index] = Some(ring);
    }

    /// True if there was one.
    pub(crate) fn remove(&mut self, number: u16) -> bool {
        self.rings.get_mut(usize::from(number)).is_some_and(|ring| ring.take().is_some())
    }

    /// There never was one.
    pub(crate) fn is_unused(&self) -> bool {
        self.rings.is_empty()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.rings.iter().flatten().count()
    }

    /// The next ring that has ended by itself, and why.
    pub(crate) fn pop_ended(&mut self) -> Option<(u16, End)> {
        self.ended.pop()
    }

    /// Puts what is for rings into them, each woken at most once.
    pub(crate) fn send(&mut self, arena: &TransmitArena) {
        if self.rings.is_empty() {
            return;
        }
        for entry in arena.entries() {
            let number = entry.tuple.local;
            let Some(route) = entry.tuple.route() else { continue };
            let Some(Some(ring)) = self.rings.get_mut(usize::from(number)) else { continue };
            match ring.writer.write(route, arena.data(entry)) {
                Ok(true) => self.stats.sent += 1,
                Ok(false) => self.stats.full += 1,
                Err(Broken) => self.end(number, End::Broken),
            }
        }
        self.rings.iter_mut().flatten().for_each(LocalRing::flush);
    }

    /// The socket of a ring can be read: a wake-up, or its end.
    pub(crate) fn on_readable(&mut self, number: u16) {
        let Some(Some(ring)) = self.rings.get(usize::from(number)) else { return };
        if let Err(end) = ring.clear() {
            self.end(number, end);
        }
    }

    /// Numbers to give to `receive`.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u16> + use<> {
        (0u16..).take(self.rings.len())
    }

    /// Takes a turn's worth of records out of one ring.
    pub(crate) fn receive(&mut self, number: u16, records: &mut Records, now: Instant) {
        records.bytes.clear();
        records.entries.clear();
        let Some(Some(ring)) = self.rings.get_mut(usize::from(number)) else { return };
        let ended = loop {
            match ring.reader.read(&mut records.bytes) {
                Ok(Some(record)) => records.entries.push(record),
                Ok(None) => break None,
                Err(broken) => break Some(End::from(broken)),
            }
            if records.entries.len() >= RECORDS_PER_TURN {
                break None;
            }
        };
        ring.reader.release();
        if !records.is_empty() {
            let more = records.entries.len() >= RECORDS_PER_TURN;
            self.look_at = Some(if more { now } else { now + LOOK_INTERVAL });
        }
        self.stats.received += records.entries.len() as u64;
        if let Some(end) = ended {
            self.end(number, end);
        }
    }

    /// The worker is about to sleep: when it has to look into its rings, if nothing wakes it before.
    pub(crate) fn doze(&mut self, now: Instant) -> Option<Instant> {
        if !self.ended.is_empty() {
            return Some(now);
        }
        if let Some(at) = self.look_at.filter(|at| *at > now) {
            return Some(at);
        }
        self.look_at = None;
        // Each says that it sleeps: none may be left out.
        let came = self.rings.iter().flatten().filter(|ring| ring.reader.doze()).count();
        (came > 0).then_some(now)
    }

    /// The worker is awake.
    pub(crate) fn rise(&self) {
        self.rings.iter().flatten().for_each(|ring| ring.reader.rise());
    }

    fn end(&mut self, number: u16, end: End) {
        if self.remove(number) {
            self.stats.broken += u64::from(end == End::Broken);
            self.ended.push((number, end));
        }
    }
}

/// Whether a datagram leaves by a ring, and not by a socket.
pub(crate) fn is_local(tuple: &Tuple) -> bool {
    tuple.protocol == Protocol::Local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (LocalRings, LocalRings) {
        let (mut ours, mut theirs) = (LocalRings::default(), LocalRings::default());
        let (ring, handover) = LocalRing::create().unwrap();
        ours.add(2, ring);
        theirs.add(0, LocalRing::join(handover).unwrap());
        (ours, theirs)
    }

    fn arena(ring: u16, records: &[(u64, &[u8])]) -> TransmitArena {
        let mut arena = TransmitArena::new();
        for (route, data) in records {
            arena.push(Tuple::local(LocalPath { ring, route: *route }), data);
        }
        arena
    }

    fn received(rings: &mut LocalRings, number: u16) -> Vec<(u64, Vec<u8>)> {
        let mut records = Records::default();
        rings.receive(number, &mut records, Instant::now());
        let datagrams = records.datagrams(number);
        datagrams.map(|each| (each.tuple().route().unwrap(), each.data.to_vec())).collect()
    }

    #[test]
    fn records_pass_both_ways_and_a_sleeper_is_woken() {
        let (mut ours, mut theirs) = pair();
        ours.send(&arena(2, &[(5, b"five"), (6, b"six")]));
        let got = received(&mut theirs, 0);
        assert_eq!(got, [(5, b"five".to_vec()), (6, b"six".to_vec())]);
        assert_eq!(ours.doze(Instant::now()), None);
        theirs.send(&arena(0, &[(5, b"back")]));
        let mut poller = crate::udp::Poller::new().unwrap();
        poller.watch(ours.rings[2].as_ref().unwrap().raw_fd(), 9).unwrap();
        poller.wait(None).unwrap();
        assert_eq!(poller.ready(0), Some(9));
        ours.on_readable(2);
        assert_eq!(ours.pop_ended(), None);
        assert_eq!(received(&mut ours, 2), [(5, b"back".to_vec())]);
        assert_eq!((ours.stats.sent, ours.stats.received), (2, 1));
    }

    #[test]
    fn what_comes_soon_after_a_batch_wakes_nobody_and_is_looked_for() {
        let (mut ours, mut theirs) = pair();
        ours.send(&arena(2, &[(5, b"one")]));
        let (mut records, now) = (Records::default(), Instant::now());
        theirs.receive(0, &mut records, now);
        assert_eq!(theirs.doze(now), Some(now + LOOK_INTERVAL));
        ours.send(&arena(2, &[(5, b"two")]));
        let later = now + LOOK_INTERVAL;
        assert_eq!(theirs.doze(later), Some(later), "something has come");
        theirs.receive(0, &mut records, later);
        assert_eq!(theirs.doze(later + LOOK_INTERVAL), None, "from now on it is woken");
        theirs.on_readable(0);
        assert_eq!(theirs.pop_ended(), None);
    }

    #[test]
    fn the_end_of_the_other_process_is_the_end_of_the_ring() {
        let (mut ours, theirs) = pair();
        drop(theirs);
        ours.on_readable(2);
        assert_eq!((ours.pop_ended(), ours.count()), (Some((2, End::Gone)), 0));
        // What is still on its way is for nobody.
        ours.send(&arena(2, &[(5, b"late")]));
        assert_eq!((ours.stats.sent, ours.stats.broken), (0, 0));
    }

    #[test]
    fn a_reader_that_stands_still_costs_what_is_newest() {
        let (mut ours, mut theirs) = pair();
        for _ in 0..2000 {
            ours.send(&arena(2, &[(1, &[7; 1000])]));
        }
        assert!(ours.stats.full > 500 && ours.stats.sent > 500, "{:?}", ours.stats);
        let mut got = 0;
        loop {
            match received(&mut theirs, 0).len() {
                0 => break,
                count => got += count as u64,
            }
        }
        assert_eq!(got, ours.stats.sent);
        ours.send(&arena(2, &[(1, b"again")]));
        assert_eq!(received(&mut theirs, 0).len(), 1);
    }

    #[test]
    fn a_process_that_writes_nonsense_loses_its_ring() {
        let (mut ours, mut theirs) = pair();
        // A record of no length cannot be.
        theirs.rings[0].as_mut().unwrap().writer.write(1, &[]).unwrap();
        theirs.send(&arena(0, &[(1, b"behind it")]));
        assert_eq!(received(&mut ours, 2), []);
        assert_eq!((ours.pop_ended(), ours.stats.broken), (Some((2, End::Broken)), 1));
        theirs.on_readable(0);
        assert_eq!(theirs.pop_ended(), Some((0, End::Gone)), "and hears of it");
    }
}
