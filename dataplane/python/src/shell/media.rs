//! Media of this process: what it listens to, and what it plays or writes.

use std::sync::Arc;

use airside_engine::ids::{TapId, TrackId, WorkerId};
use airside_engine::packet::SourcePacket;

use super::{Shell, UseError, lock};
use crate::players::{Frame, Gauge, PlayerFigures};
use crate::worker::{LocalPacket, Order, PlayerOrder};

impl Shell {
    /// Begins a tap on one worker. Then add the target by command.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn open_tap(&self, worker: WorkerId, tap: TapId) -> Result<(), UseError> {
        self.order(worker, Order::OpenTap(tap, self.taps.open(tap)))
    }

    /// Ends a tap.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn close_tap(&self, worker: WorkerId, tap: TapId) -> Result<(), UseError> {
        self.taps.close(tap);
        self.order(worker, Order::CloseTap(tap))
    }

    /// Up to `limit` packets of a tap.
    ///
    /// # Errors
    /// No such tap.
    pub fn read_tap(&self, tap: TapId, limit: usize) -> Result<Vec<Arc<SourcePacket>>, UseError> {
        self.taps.read(tap, limit).ok_or(UseError::Tap)
    }

    /// Up to `limit` packets of each of these taps; those without are left out.
    #[must_use]
    pub fn read_taps(&self, taps: &[TapId], limit: usize) -> Vec<(TapId, Vec<Arc<SourcePacket>>)> {
        self.taps.read_all(taps, limit)
    }

    /// Plays a track with a local source from now on: a packet every 20 ms, silence where nothing
    /// waits, with timestamps from this one on.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn open_player(
        &self,
        worker: WorkerId,
        track: TrackId,
        timestamp: u32,
    ) -> Result<(), UseError> {
        let gauge = Arc::new(Gauge::default());
        lock(&self.players).insert(track, Arc::clone(&gauge));
        self.order(worker, Order::Play(track, PlayerOrder::Open(gauge, timestamp)))
    }

    /// Frames for a player: level in -dBov and payload of each.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn play(
        &self,
        worker: WorkerId,
        track: TrackId,
        frames: Vec<Frame>,
    ) -> Result<(), UseError> {
        self.order(worker, Order::Play(track, PlayerOrder::Push(frames)))
    }

    /// Forgets what waits to be played.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn flush_player(&self, worker: WorkerId, track: TrackId) -> Result<(), UseError> {
        self.order(worker, Order::Play(track, PlayerOrder::Flush))
    }

    /// Sends nothing of a track, while its time goes on.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn pause_player(
        &self,
        worker: WorkerId,
        track: TrackId,
        paused: bool,
    ) -> Result<(), UseError> {
        self.order(worker, Order::Play(track, PlayerOrder::Pause(paused)))
    }

    /// Ends a player.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn close_player(&self, worker: WorkerId, track: TrackId) -> Result<(), UseError> {
        lock(&self.players).remove(&track);
        self.order(worker, Order::Play(track, PlayerOrder::Close))
    }

    /// How all players are at this moment.
    #[must_use]
    pub fn players(&self) -> Vec<(TrackId, PlayerFigures)> {
        lock(&self.players).iter().map(|(track, gauge)| (*track, gauge.read())).collect()
    }

    /// Feeds a track with a local source: timestamp, marker, audio level and payload of each packet.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn write_track(
        &self,
        worker: WorkerId,
        track: TrackId,
        layer: u8,
        packets: Vec<(u32, bool, Option<u8>, Vec<u8>)>,
    ) -> Result<(), UseError> {
        let packets = packets.into_iter();
        let packets = packets
            .map(|(timestamp, marker, level, payload)| LocalPacket {
                timestamp,
                marker,
                level,
                payload,
            })
            .collect();
        self.order(worker, Order::Write { track, layer, packets })
    }
}
