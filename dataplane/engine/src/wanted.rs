//! Which layers of each track anybody takes, over all slots, readers and workers, for [`Dynacast`].
//!
//! Wishes count, not what a subscriber's network takes at the moment: a layer that is not sent
//! cannot be probed for. A worker tells the track's home what its own slots take; the home worker
//! tells the publisher.

use std::time::Instant;

use crate::command::{MediaKind, Role, Target};
use crate::dynacast::{Dynacast, wanted_layer};
use crate::engine::Engine;
use crate::event::Event;
use crate::ids::{TrackId, WorkerId};
use crate::ring::RingMessage;
use crate::timers::earliest;
use crate::track::{Track, TrackSource};

/// What is taken of one track.
#[derive(Debug)]
pub(crate) struct Wanted {
    dynacast: Dynacast,
    /// When to look at all wishes again: at the end of the turn in which one changed.
    review_at: Option<Instant>,
    /// What slots of other workers take; one that has not said takes everything.
    elsewhere: Vec<(WorkerId, Option<u8>)>,
    /// As the home worker was told, if that is another one.
    reported: Option<Option<u8>>,
}

impl Wanted {
    /// Of a track with so many layers, of which nobody takes any yet.
    pub(crate) fn new(layers: usize, now: Instant) -> Self {
        let best = layers.saturating_sub(1) as u8;
        let dynacast = Dynacast::new(best);
        Self { dynacast, review_at: Some(now), elsewhere: Vec::new(), reported: None }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.review_at, self.dynacast.poll_timeout())
    }

    /// The publisher was told that nobody takes anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.dynacast.told().is_none()
    }
}

impl Engine {
    /// A wish, a slot or a reader of the track came, changed or went.
    pub(crate) fn wishes_changed(&mut self, key: usize) {
        let now = self.now;
        let Some(track) = self.tracks.get_mut(key) else { return };
        if track.kind == MediaKind::Video {
            track.wanted.review_at = Some(now);
            self.arm_track(key);
        }
    }

    /// Another worker's slots take this much of a track whose home is here.
    pub(crate) fn wishes_elsewhere(&mut self, id: TrackId, from: WorkerId, best: Option<u8>) {
        let Some(key) = self.names.tracks.get(&id).copied() else { return };
        let elsewhere = &mut self.tracks[key].wanted.elsewhere;
        elsewhere.retain(|(worker, _)| *worker != from);
        elsewhere.push((from, best));
        self.wishes_changed(key);
    }

    /// Another worker has no slots for a track any more.
    pub(crate) fn forget_worker(&mut self, key: usize, worker: WorkerId) {
        self.tracks[key].wanted.elsewhere.retain(|(other, _)| *other != worker);
    }

    /// Tells the publisher, or the home worker, what is news.
    pub(crate) fn review_wishes(&mut self, key: usize, now: Instant) {
        let Some(track) = self.tracks.get(key) else { return };
        if track.kind != MediaKind::Video {
            return;
        }
        let reviewed =
            track.wanted.review_at.is_some_and(|at| at <= now).then(|| self.taken(track));
        let served = track.transport().and_then(|key| self.transports.get(key));
        let served = served.is_some_and(|transport| transport.role == Role::Server);
        let track = &mut self.tracks[key];
        if reviewed.is_some() {
            track.wanted.review_at = None;
        }
        match track.source {
            TrackSource::Ring { home } => {
                if let Some(best) = reviewed.filter(|best| track.wanted.reported != Some(*best)) {
                    track.wanted.reported = Some(best);
                    self.out.ring(home, RingMessage::Wanted { track: track.id, best });
                }
            }
            TrackSource::Transport { .. } if served => {
                let dynacast = &mut track.wanted.dynacast;
                let news = match reviewed {
                    Some(best) => dynacast.update(best, now),
                    None => dynacast.handle_timeout(now),
                };
                if let Some(best) = news {
                    self.out.events.push(Event::WantedLayers { track: track.id, best });
                }
            }
            // Nobody there whom it would help.
            _ => {}
        }
    }

    /// The best layer that anybody takes.
    fn taken(&self, track: &Track) -> Option<u8> {
        let top = track.layers.len().checked_sub(1).map(|top| top as u8);
        let mut heights_px = [0; u8::BITS as usize];
        for (height, layer) in heights_px.iter_mut().zip(&track.layers) {
            *height = layer.height_px;
        }
        let heights_px = &heights_px[..track.layers.len().min(heights_px.len())];
        let slots = track.fanout.iter().filter_map(|entry| {
            let bound = self.slots.get(entry.slot)?.bound.as_ref()?;
            wanted_layer(&bound.wish, heights_px)
        });
        let readers = track.readers.iter().map(|reader| match reader {
            Target::Ring(worker) => {
                let said = track.wanted.elsewhere.iter().find(|(other, _)| other == worker);
                said.map_or(top, |(_, best)| *best)
            }
            Target::Tap(_) | Target::Meter(_) => top,
        });
        slots.max().max(readers.max().flatten())
    }
}
