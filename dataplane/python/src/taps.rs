//! Readers of tracks in this process: one bounded queue each, filled by a worker, read by Python.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use airside_engine::ids::TapId;
use airside_engine::packet::SourcePacket;

/// Packets that may wait for a reader: 20 s of audio, or a second of 10 Mbit/s.
const MAX_WAITING: usize = 1024;

pub(crate) type TapSender = SyncSender<Arc<SourcePacket>>;

/// The reading ends. Only Python's threads touch this.
#[derive(Debug, Default)]
pub(crate) struct Taps(Mutex<HashMap<TapId, Receiver<Arc<SourcePacket>>>>);

impl Taps {
    /// Begins a tap; its worker gets the returned end. A tap that exists is begun anew.
    pub(crate) fn open(&self, tap: TapId) -> TapSender {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        self.lock().insert(tap, receiver);
        sender
    }

    pub(crate) fn close(&self, tap: TapId) {
        self.lock().remove(&tap);
    }

    /// Up to `limit` packets, oldest first; `None`: no such tap.
    pub(crate) fn read(&self, tap: TapId, limit: usize) -> Option<Vec<Arc<SourcePacket>>> {
        Some(self.lock().get(&tap)?.try_iter().take(limit).collect())
    }

    /// The same of several taps: those with packets, each with its own. One that is not there has none.
    pub(crate) fn read_all(
        &self,
        taps: &[TapId],
        limit: usize,
    ) -> Vec<(TapId, Vec<Arc<SourcePacket>>)> {
        let open = self.lock();
        let read = |tap: &TapId| {
            let packets: Vec<_> = open.get(tap)?.try_iter().take(limit).collect();
            (!packets.is_empty()).then_some((*tap, packets))
        };
        taps.iter().filter_map(read).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TapId, Receiver<Arc<SourcePacket>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
