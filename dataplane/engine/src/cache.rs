//! Retransmission cache of one published layer, shared by all its subscribers.
//!
//! Holds what the engine forwards (a reference-counted packet in plaintext) by extended source
//! number. What a subscriber got is that packet rewritten again, so nothing is kept per subscriber.

/// Packets kept of a top video layer: 190 packets/s of 1.7 Mbit/s for one second of round trips
/// and retries, with room for a keyframe of 100 packets.
pub const TOP_LAYER_PACKETS: usize = 512;
/// Packets kept of a middle video layer.
pub const MIDDLE_LAYER_PACKETS: usize = 256;
/// Packets kept of the lowest video layer.
pub const LOW_LAYER_PACKETS: usize = 128;
/// Packets kept of an audio stream: over a second of 20 ms frames.
pub const AUDIO_PACKETS: usize = 64;

/// What became of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// Stored.
    New,
    /// That number is stored already: the packet is a duplicate, and the first one stays.
    Duplicate,
    /// Its place belongs to a newer packet.
    TooOld,
}

/// Ring of the newest packets by extended sequence number.
#[derive(Debug)]
pub struct Cache<T> {
    slots: Box<[Option<(u64, T)>]>,
}

impl<T> Cache<T> {
    /// A cache of `packets` rounded up to a power of two; all its memory is taken here.
    #[must_use]
    pub fn new(packets: usize) -> Self {
        Self { slots: (0..packets.next_power_of_two()).map(|_| None).collect() }
    }

    /// Stores a packet; also tells duplicates, for as long as they are remembered.
    pub fn insert(&mut self, seq: u64, packet: T) -> Inserted {
        self.exchange(seq, packet).0
    }

    /// As [`Self::insert`]; also gives back what has no place: the packet that made room, or the
    /// one that was not stored.
    pub fn exchange(&mut self, seq: u64, packet: T) -> (Inserted, Option<T>) {
        let at = self.index(seq);
        match &self.slots[at] {
            Some((held, _)) if *held == seq => return (Inserted::Duplicate, Some(packet)),
            Some((held, _)) if *held > seq => return (Inserted::TooOld, Some(packet)),
            _ => {}
        }
        let left = self.slots[at].replace((seq, packet));
        (Inserted::New, left.map(|(_, packet)| packet))
    }

    /// The packet with this number, if it is still there.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<&T> {
        match &self.slots[self.index(seq)] {
            Some((held, packet)) if *held == seq => Some(packet),
            _ => None,
        }
    }

    /// Lets go of all packets, for a stream that ended or restarted.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = None);
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn newest_packets_are_found_and_old_ones_are_not() {
        let mut cache = Cache::new(4);
        for seq in 10..16 {
            assert_eq!(cache.insert(seq, seq * 2), Inserted::New);
        }
        assert_eq!(cache.get(15), Some(&30));
        assert_eq!(cache.get(12), Some(&24));
        assert_eq!(cache.get(11), None);
        assert_eq!(cache.get(16), None);
        assert_eq!(cache.insert(11, 0), Inserted::TooOld);
        assert_eq!(cache.insert(12, 0), Inserted::Duplicate);
        assert_eq!(cache.get(12), Some(&24));
    }

    #[test]
    fn late_packets_fill_their_gap() {
        let mut cache = Cache::new(8);
        cache.insert(10, 'a');
        cache.insert(12, 'c');
        assert_eq!(cache.insert(11, 'b'), Inserted::New);
        assert_eq!(cache.get(11), Some(&'b'));
    }

    #[test]
    fn clearing_releases_shared_packets() {
        let packet = Arc::new([0u8; 4]);
        let mut cache = Cache::new(3);
        cache.insert(1, Arc::clone(&packet));
        assert_eq!(Arc::strong_count(&packet), 2);
        cache.clear();
        assert_eq!(Arc::strong_count(&packet), 1);
        assert_eq!(cache.get(1), None);
    }
}
