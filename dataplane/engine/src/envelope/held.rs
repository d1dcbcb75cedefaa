//! Reliable messages for somebody whose data channel is not open yet: what is sent to a participant
//! from its joining on must not be lost because its handshakes take a moment.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Bytes held for one transport. As LiveKit's server, which keeps about 100 kB per room.
const MAX_BYTES: usize = 64 * 1024;
/// Messages held for one transport: each costs some bytes besides its own.
const MAX_MESSAGES: usize = 256;
/// Older ones have lost their meaning.
const MAX_AGE: Duration = Duration::from_secs(5);

/// The newest messages, oldest first. Bounded by bytes, number and age.
#[derive(Debug, Default)]
pub(crate) struct Held {
    messages: VecDeque<(Instant, Bytes)>,
    bytes: usize,
}

impl Held {
    /// Keeps a message; older ones make room. How many were given up for that.
    pub(crate) fn push(&mut self, message: Bytes, now: Instant) -> usize {
        self.bytes += message.len();
        self.messages.push_back((now, message));
        let before = self.messages.len();
        while self.bytes > MAX_BYTES || self.messages.len() > MAX_MESSAGES || self.is_stale(now) {
            self.pop();
        }
        before - self.messages.len()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// What is still worth sending; nothing is held afterwards.
    pub(crate) fn take(&mut self, now: Instant) -> impl Iterator<Item = Bytes> + use<> {
        self.bytes = 0;
        let fresh = move |(at, _): &(Instant, Bytes)| now.duration_since(*at) <= MAX_AGE;
        std::mem::take(&mut self.messages).into_iter().filter(fresh).map(|(_, message)| message)
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.messages.front().is_some_and(|(at, _)| now.duration_since(*at) > MAX_AGE)
    }

    fn pop(&mut self) {
        if let Some((_, message)) = self.messages.pop_front() {
            self.bytes -= message.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(held: &mut Held, now: Instant) -> Vec<Bytes> {
        held.take(now).collect()
    }

    #[test]
    fn messages_come_in_order_and_once() {
        let (mut waiting, now) = (Held::default(), Instant::now());
        waiting.push(Bytes::from_static(b"one"), now);
        waiting.push(Bytes::from_static(b"two"), now);
        assert_eq!(held(&mut waiting, now), ["one", "two"]);
        assert!(held(&mut waiting, now).is_empty());
    }

    #[test]
    fn bytes_number_and_age_are_bounded() {
        let (mut waiting, now) = (Held::default(), Instant::now());
        let dropped: usize = (0..10).map(|_| waiting.push(Bytes::from(vec![0; 20_000]), now)).sum();
        assert_eq!((held(&mut waiting, now).len(), dropped), (3, 7));
        for _ in 0..1000 {
            waiting.push(Bytes::from_static(b"x"), now);
        }
        assert_eq!(held(&mut waiting, now).len(), MAX_MESSAGES);
        waiting.push(Bytes::from_static(b"old"), now);
        let later = now + MAX_AGE + Duration::from_secs(1);
        waiting.push(Bytes::from_static(b"new"), later);
        assert_eq!(held(&mut waiting, later), ["new"]);
        waiting.push(Bytes::from(vec![0; MAX_BYTES + 1]), now);
        assert!(held(&mut waiting, now).is_empty());
    }
}
