//! One direction of a local ring: records of one writer for one reader, in shared words.
//!
//! ```text
//! word 0   tail: words written so far      (writer's)
//! word 8   head: words read so far         (reader's)
//! word 16  not 0: the reader sleeps        (both)
//! word 24  records, each: length | route | data, padded to whole words; wraps anywhere
//! ```
//!
//! Each side keeps its own counter to itself, and takes the other's only where it can be true. A full queue
//! refuses the newest record: the oldest are being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use airside_engine::net::MAX_DATAGRAM_LEN;

use super::memory::Memory;

const TAIL: usize = 0;
/// Counters of different writers in cache lines of their own.
const HEAD: usize = 8;
const SLEEPS: usize = 16;
const RECORDS: usize = 24;
/// Words for records: 1 MiB, two seconds of 80 voices, or a third of a second of 20 Mbit/s.
const CAPACITY: u64 = 128 * 1024;
/// Length and route.
const HEADER_WORDS: u64 = 2;
/// Words of a queue.
pub(super) const QUEUE_WORDS: usize = RECORDS + CAPACITY as usize;

/// The other process wrote what cannot be: it is not to be listened to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// The words of one queue.
#[derive(Clone, Debug)]
struct Words {
    memory: Arc<Memory>,
    base: usize,
}

impl Words {
    #[inline]
    fn at(&self, index: usize) -> &AtomicU64 {
        &self.memory.words()[self.base + index]
    }

    #[inline]
    fn record(&self, position: u64) -> &AtomicU64 {
        self.at(RECORDS + (position % CAPACITY) as usize)
    }
}

/// Of the process that writes.
#[derive(Debug)]
pub(super) struct Writer {
    words: Words,
    tail: u64,
    /// The reader's counter as it was last seen.
    head: u64,
    published: u64,
}

impl Writer {
    /// Goes on where the last writer of this queue was.
    pub(super) fn new(memory: Arc<Memory>, base: usize) -> Self {
        let words = Words { memory, base };
        let tail = words.at(TAIL).load(Ordering::Acquire);
        let head = words.at(HEAD).load(Ordering::Acquire);
        Self { words, tail, head, published: tail }
    }

    /// Writes a record; the reader sees it after [`Writer::publish`]. False: there is no room.
    ///
    /// # Errors
    /// The reader claims to have read what it cannot have.
    pub(super) fn write(&mut self, route: u64, data: &[u8]) -> Result<bool, Broken> {
        let needed = HEADER_WORDS + data.len().div_ceil(size_of::<u64>()) as u64;
        if self.tail.wrapping_sub(self.head).saturating_add(needed) > CAPACITY {
            self.head = self.words.at(HEAD).load(Ordering::Acquire);
            let used = self.tail.wrapping_sub(self.head);
            if used > CAPACITY {
                return Err(Broken);
            }
            if used + needed > CAPACITY {
                return Ok(false);
            }
        }
        self.put(0, data.len() as u64);
        self.put(1, route);
        let mut offset = HEADER_WORDS;
        let (whole, rest) = data.as_chunks();
        for chunk in whole {
            self.put(offset, u64::from_le_bytes(*chunk));
            offset += 1;
        }
        if !rest.is_empty() {
            let mut last = [0; size_of::<u64>()];
            last[..rest.len()].copy_from_slice(rest);
            self.put(offset, u64::from_le_bytes(last));
        }
        self.tail = self.tail.wrapping_add(needed);
        Ok(true)
    }

    /// Shows what was written. True: the reader sleeps, and is to be woken.
    pub(super) fn publish(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.published = self.tail;
        self.words.at(TAIL).store(self.tail, Ordering::Release);
        // Orders the counter before the flag; `doze` orders them the other way round.
        fence(Ordering::SeqCst);
        self.words.at(SLEEPS).swap(0, Ordering::SeqCst) != 0
    }

    #[inline]
    fn put(&self, offset: u64, value: u64) {
        self.words.record(self.tail.wrapping_add(offset)).store(value, Ordering::Relaxed);
    }
}

/// Of the process that reads.
#[derive(Debug)]
pub(super) struct Reader {
    words: Words,
    head: u64,
    /// The writer's counter as it was last seen.
    tail: u64,
}

impl Reader {
    /// Goes on where the last reader of this queue was.
    pub(super) fn new(memory: Arc<Memory>, base: usize) -> Self {
        let words = Words { memory, base };
        let head = words.at(HEAD).load(Ordering::Acquire);
        Self { words, head, tail: head }
    }

    /// Copies the next record behind what `into` holds; returns its route and length.
    ///
    /// # Errors
    /// A counter or a length that cannot be.
    pub(super) fn read(&mut self, into: &mut Vec<u8>) -> Result<Option<(u64, usize)>, Broken> {
        if self.tail == self.head {
            self.tail = self.words.at(TAIL).load(Ordering::Acquire);
        }
        let available = self.tail.wrapping_sub(self.head);
        if available == 0 {
            return Ok(None);
        }
        let len = self.get(0);
        let fits = (HEADER_WORDS..=CAPACITY).contains(&available);
        if !fits || len == 0 || len > MAX_DATAGRAM_LEN as u64 {
            return Err(Broken);
        }
        let data_words = len.div_ceil(size_of::<u64>() as u64);
        if HEADER_WORDS + data_words > available {
            return Err(Broken);
        }
        let (route, len, end) = (self.get(1), len as usize, into.len() + len as usize);
        for offset in 0..data_words {
            into.extend_from_slice(&self.get(HEADER_WORDS + offset).to_le_bytes());
        }
        into.truncate(end);
        self.head = self.head.wrapping_add(HEADER_WORDS + data_words);
        Ok(Some((route, len)))
    }

    /// Gives the room of what was read back.
    pub(super) fn release(&self) {
        self.words.at(HEAD).store(self.head, Ordering::Release);
    }

    /// The reader is about to sleep. True: it must not, something has come.
    pub(super) fn doze(&self) -> bool {
        self.words.at(SLEEPS).store(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.has()
    }

    /// The reader is awake.
    pub(super) fn rise(&self) {
        self.words.at(SLEEPS).store(0, Ordering::SeqCst);
    }

    /// Something waits.
    pub(super) fn has(&self) -> bool {
        self.words.at(TAIL).load(Ordering::Acquire) != self.head
    }

    #[inline]
    fn get(&self, offset: u64) -> u64 {
        self.words.record(self.head.wrapping_add(offset)).load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Arc<Memory>, Writer, Reader) {
        let (memory, _) = Memory::create(QUEUE_WORDS).unwrap();
        let memory = Arc::new(memory);
        let (writer, reader) = (Arc::clone(&memory), Arc::clone(&memory));
        (memory, Writer::new(writer, 0), Reader::new(reader, 0))
    }

    fn read(reader: &mut Reader) -> Result<Option<(u64, Vec<u8>)>, Broken> {
        let mut data = Vec::new();
        let read = reader.read(&mut data)?;
        reader.release();
        Ok(read.map(|(route, len)| {
            assert_eq!(len, data.len());
            (route, data)
        }))
    }

    /// Numbers of a fixed run (SplitMix64).
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    #[test]
    fn records_come_out_as_they_went_in_through_many_wraps() {
        let (_, mut writer, mut reader) = queue();
        let mut state = 1;
        for turn in 0..4000u64 {
            let count = random(&mut state) % 5;
            let records: Vec<_> = (0..count)
                .map(|at| vec![at as u8; 1 + random(&mut state) as usize % MAX_DATAGRAM_LEN])
                .collect();
            for record in &records {
                assert_eq!(writer.write(turn, record), Ok(true));
            }
            assert_eq!(read(&mut reader), Ok(None), "nothing is seen before it is shown");
            writer.publish();
            for record in records {
                assert_eq!(read(&mut reader), Ok(Some((turn, record))));
            }
        }
        assert!(reader.head > 4 * CAPACITY, "it wrapped");
        assert_eq!(read(&mut reader), Ok(None));
    }

    #[test]
    fn a_full_queue_refuses_the_newest_and_goes_on_once_read() {
        let (_, mut writer, mut reader) = queue();
        let mut written = 0u64;
        while writer.write(written, &[1; 1200]) == Ok(true) {
            written += 1;
        }
        assert_eq!(written, CAPACITY / (HEADER_WORDS + 150));
        writer.publish();
        assert_eq!(writer.write(written, &[1; 1200]), Ok(false));
        assert_eq!(read(&mut reader).unwrap().unwrap().0, 0);
        assert_eq!(writer.write(written, &[2; 1200]), Ok(true));
        writer.publish();
        for route in 1..=written {
            assert_eq!(read(&mut reader).unwrap().unwrap().0, route);
        }
        assert_eq!(read(&mut reader), Ok(None));
    }

    #[test]
    fn the_next_writer_and_reader_go_on_where_the_last_ones_were() {
        let (memory, mut writer, mut reader) = queue();
        writer.write(1, b"one").unwrap();
        writer.write(2, b"two").unwrap();
        writer.publish();
        assert_eq!(read(&mut reader), Ok(Some((1, b"one".to_vec()))));
        let mut writer = Writer::new(Arc::clone(&memory), 0);
        let mut reader = Reader::new(memory, 0);
        assert_eq!((writer.head, writer.tail), (3, 6), "it knows what is yet to be read");
        writer.write(3, b"three").unwrap();
        writer.publish();
        assert_eq!(read(&mut reader), Ok(Some((2, b"two".to_vec()))));
        assert_eq!(read(&mut reader), Ok(Some((3, b"three".to_vec()))));
    }

    #[test]
    fn only_a_sleeping_reader_is_to_be_woken_and_none_sleeps_over_a_record() {
        let (_, mut writer, mut reader) = queue();
        assert!(!writer.publish(), "nothing was written");
        writer.write(1, b"one").unwrap();
        assert!(!writer.publish());
        assert!(reader.doze(), "something has come");
        reader.rise();
        read(&mut reader).unwrap();
        assert!(!reader.doze());
        writer.write(1, b"two").unwrap();
        assert!(writer.publish());
        writer.write(1, b"three").unwrap();
        assert!(!writer.publish(), "one call wakes for all");
    }

    #[test]
    fn counters_that_cannot_be_break_the_queue() {
        for tail in [1, CAPACITY + 1, u64::MAX, u64::MAX / 2] {
            let (memory, _, mut reader) = queue();
            memory.words()[TAIL].store(tail, Ordering::Relaxed);
            assert_eq!(read(&mut reader), Err(Broken), "{tail}");
        }
        for head in [u64::MAX - CAPACITY, u64::MAX / 2, CAPACITY * 3] {
            let (memory, mut writer, _) = queue();
            memory.words()[HEAD].store(head, Ordering::Relaxed);
            let broken = (0..CAPACITY).find_map(|_| writer.write(0, &[1; 1200]).err());
            assert_eq!(broken, Some(Broken), "{head}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_break_the_queue() {
        for len in [0, MAX_DATAGRAM_LEN as u64 + 1, 100, u64::MAX, 1 << 40] {
            let (memory, mut writer, mut reader) = queue();
            writer.write(0, b"short").unwrap();
            writer.publish();
            memory.words()[RECORDS].store(len, Ordering::Relaxed);
            assert_eq!(read(&mut reader), Err(Broken), "{len}");
        }
    }

    #[test]
    fn any_words_are_read_without_harm() {
        let mut state = 7;
        for _ in 0..300 {
            let (memory, mut writer, mut reader) = queue();
            for at in 0..20 {
                let data = vec![at as u8; 1 + random(&mut state) as usize % 1400];
                writer.write(at, &data).unwrap();
                writer.publish();
            }
            for _ in 0..1 + random(&mut state) % 3 {
                let at = [TAIL, HEAD, RECORDS + random(&mut state) as usize % 4000]
                    [random(&mut state) as usize % 3];
                let small = random(&mut state).is_multiple_of(2);
                let value = random(&mut state) % if small { 4000 } else { u64::MAX };
                memory.words()[at].store(value, Ordering::Relaxed);
            }
            for _ in 0..CAPACITY {
                match read(&mut reader) {
                    Ok(Some((_, data))) => assert!(data.len() <= MAX_DATAGRAM_LEN),
                    Ok(None) | Err(Broken) => break,
                }
                let _ = writer.write(0, &[0; 9]);
            }
        }
    }

    #[test]
    fn two_threads_pass_everything_in_order() {
        let (_, mut writer, mut reader) = queue();
        const COUNT: u64 = 20_000;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for route in 0..COUNT {
                    let data = route.to_le_bytes().repeat(1 + route as usize % 40);
                    while !writer.write(route, &data).unwrap() {
                        writer.publish();
                        std::thread::yield_now();
                    }
                    writer.publish();
                }
            });
            for route in 0..COUNT {
                let (got, data) = loop {
                    match read(&mut reader).unwrap() {
                        Some(record) => break record,
                        None => std::thread::yield_now(),
                    }
                };
                assert_eq!(got, route);
                assert!(data.chunks(8).all(|chunk| chunk == route.to_le_bytes()));
            }
        });
    }
}
