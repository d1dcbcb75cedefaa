//! A worker's part in local rings.

use std::time::Instant;

use super::{LOCAL_TOKENS, Worker, recycle};
use crate::local_ring::{End, LocalRing};

impl Worker {
    pub(super) fn add_local_ring(&mut self, number: u16, ring: LocalRing) {
        // Out of descriptors or memory: who joins by it will not connect, and say so.
        if self.poller.watch(ring.raw_fd(), LOCAL_TOKENS | u64::from(number)).is_ok() {
            self.local_rings.add(number, ring);
        }
    }

    pub(super) fn close_local_ring(&mut self, number: u16) {
        if self.local_rings.remove(number) {
            self.engine.handle_local_ring_closed(number, false, Instant::now());
            self.flush(None);
        }
    }

    /// When to look into the rings, before the worker sleeps.
    pub(super) fn local_due(&mut self) -> Option<Instant> {
        if self.local_rings.is_unused() { None } else { self.local_rings.doze(Instant::now()) }
    }

    /// Whatever other processes have written: in to the engine, and out what came of it.
    pub(super) fn take_local(&mut self) {
        for number in self.local_rings.numbers() {
            let now = Instant::now();
            self.local_rings.receive(number, &mut self.records, now);
            if self.records.is_empty() {
                continue;
            }
            let mut batch = recycle(std::mem::take(&mut self.datagrams));
            batch.extend(self.records.datagrams(number));
            self.engine.handle_datagrams(&mut batch, now);
            self.datagrams = recycle(batch);
            self.flush(Some(now));
        }
        while let Some((number, end)) = self.local_rings.pop_ended() {
            let broken = end == End::Broken;
            self.engine.handle_local_ring_closed(number, broken, Instant::now());
            self.flush(None);
        }
    }
}
