//! From the workers to Python: one bounded queue per worker, one descriptor for all of them.
//!
//! A worker never waits here. When Python does not drain, the queue fills and the rest stays in the
//! engine: events are merged there by key until at last a `Resync` stands for what was lost, data
//! messages are dropped and counted.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, TryLockError};

use airside_engine::ids::WorkerId;

use crate::udp::EventFd;

/// What may wait for Python per worker: a storm of 1000 joins makes about 4000 events.
const MAX_WAITING: usize = 4096;

/// The queues of all workers, for one kind of news.
#[derive(Debug)]
pub(crate) struct Queues<T> {
    queues: Vec<Mutex<VecDeque<T>>>,
    ready: EventFd,
}

/// Whether a worker has to offer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    All,
    /// Python holds the queue at this moment, or has not drained it.
    Later,
}

impl<T> Queues<T> {
    pub(crate) fn new(workers: usize) -> std::io::Result<Self> {
        let queues = (0..workers).map(|_| Mutex::new(VecDeque::new())).collect();
        Ok(Self { queues, ready: EventFd::new()? })
    }

    /// Readable while something waits.
    pub(crate) fn ready(&self) -> &EventFd {
        &self.ready
    }

    /// Takes from `next` what there is room for. Called by the worker, never waits.
    pub(crate) fn offer(&self, worker: WorkerId, mut next: impl FnMut() -> Option<T>) -> Offered {
        let Some(queue) = self.queues.get(usize::from(worker.0)) else { return Offered::All };
        let mut queue = match queue.try_lock() {
            Ok(queue) => queue,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Offered::Later,
        };
        let was_empty = queue.is_empty();
        let mut offered = Offered::Later;
        while queue.len() < MAX_WAITING {
            let Some(one) = next() else {
                offered = Offered::All;
                break;
            };
            queue.push_back(one);
        }
        let is_empty = queue.is_empty();
        drop(queue);
        if was_empty && !is_empty {
            self.ready.signal();
        }
        offered
    }

    /// Takes out up to `limit`, oldest first per worker.
    pub(crate) fn drain(&self, limit: usize) -> Vec<(WorkerId, T)> {
        self.ready.clear();
        let mut news = Vec::new();
        let mut more = false;
        for (worker, queue) in (0u8..).zip(&self.queues) {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let count = queue.len().min(limit - news.len());
            news.extend(queue.drain(..count).map(|one| (WorkerId(worker), one)));
            more |= !queue.is_empty();
        }
        if more {
            self.ready.signal();
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use airside_engine::event::Event;
    use airside_engine::ids::TransportId;

    use super::*;
    use crate::udp::Poller;

    fn is_ready(queues: &Queues<Event>) -> bool {
        let mut poller = Poller::new().unwrap();
        poller.watch(queues.ready().raw_fd(), 0).unwrap();
        poller.wait(Some(Duration::ZERO)).unwrap();
        poller.ready(0).is_some()
    }

    fn news(range: std::ops::Range<u64>) -> impl FnMut() -> Option<Event> {
        let mut ids = range;
        move || ids.next().map(|id| Event::DataReady { transport: TransportId(id) })
    }

    #[test]
    fn readable_exactly_while_something_waits() {
        let queues = Queues::new(2).unwrap();
        assert!(!is_ready(&queues));
        assert_eq!(queues.offer(WorkerId(0), news(0..3)), Offered::All);
        assert_eq!(queues.offer(WorkerId(1), news(10..11)), Offered::All);
        assert!(is_ready(&queues));
        assert_eq!(queues.drain(2).len(), 2);
        assert!(is_ready(&queues));
        let rest = queues.drain(100);
        let workers: Vec<_> = rest.iter().map(|(worker, _)| worker.0).collect();
        assert_eq!(workers, [0, 1]);
        assert!(!is_ready(&queues));
    }

    #[test]
    fn a_full_queue_leaves_the_news_with_the_engine() {
        let queues = Queues::new(1).unwrap();
        let mut source = news(0..MAX_WAITING as u64 + 2);
        assert_eq!(queues.offer(WorkerId(0), &mut source), Offered::Later);
        assert!(source().is_some());
        assert_eq!(queues.drain(usize::MAX).len(), MAX_WAITING);
    }

    #[test]
    fn a_worker_does_not_wait_for_python() {
        let queues = Queues::new(1).unwrap();
        let held = queues.queues[0].lock().unwrap();
        assert_eq!(queues.offer(WorkerId(0), news(0..1)), Offered::Later);
        drop(held);
        assert_eq!(queues.offer(WorkerId(0), news(0..1)), Offered::All);
    }
}
