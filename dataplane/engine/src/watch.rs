//! Looks at each track and slot of a transport once a second, and says every five how good the ways
//! to and from its peer are.

use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::command::{MediaKind, Role};
use crate::engine::Engine;
use crate::event::{Direction, Event};
use crate::quality::{Figures, Quality, SlotSent, TrackKind, TrackTotals, Verdict, WINDOW};
use crate::slot::Slot;
use crate::stats::{Table, TableBuilder};
use crate::track::{Layer, Track};
use crate::transport::Transport;

/// Between two looks; a window is five of them.
const TICK: Duration = Duration::from_secs(1);
const TICKS: u8 = (WINDOW.as_secs() / TICK.as_secs()) as u8;

/// What is known of the ways to and from one peer.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The next look; `None` until media may flow.
    next: Option<Instant>,
    ticks: u8,
    /// Authenticated packets of the peer at the end of the last window.
    packets_before: u64,
    up: Way,
    down: Way,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    quality: Quality,
    figures: Figures,
    rtt: Option<Duration>,
}

impl Watch {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is time for a look.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|at| at <= now);
        if due || self.next.is_none() {
            self.next = Some(now + TICK);
        }
        due
    }

    /// Counts a look; whether it ends a window.
    fn count(&mut self) -> bool {
        self.ticks = (self.ticks + 1) % TICKS;
        self.ticks == 0
    }
}

impl Engine {
    /// A look at one transport, if it is time.
    pub(crate) fn watch_quality(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        let watched = transport.role == Role::Server && transport.is_secured();
        if !watched || !transport.watch.is_due(now) {
            return;
        }
        for track in &transport.tracks {
            if let Some(track) = self.tracks.get_mut(*track) {
                look_at_track(track, now);
            }
        }
        for (_, slot) in &transport.slots {
            let Some(slot) = self.slots.get_mut(*slot) else { continue };
            let track = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track));
            look_at_slot(slot, track, now);
        }
        if transport.watch.count() {
            self.judge(key, now);
        }
    }

    /// The end of a window.
    fn judge(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        let received = transport.stats.packets_received;
        let heard = std::mem::replace(&mut transport.watch.packets_before, received) != received;
        let rtt = transport.rtt.take_peak();
        let (mut figures, mut scores) = (Figures::default(), Vec::new());
        for track in &transport.tracks {
            let Some(track) = self.tracks.get_mut(*track) else { continue };
            let (kind, totals) = (kind_of(track), totals_of(track));
            figures = figures.with(track.meter.close(kind, totals, rtt, heard));
            scores.push(track.meter.score());
        }
        let up = transport.watch.up.end(figures, rtt, &scores, now);
        figures = Figures::default();
        scores.clear();
        for (_, slot) in &transport.slots {
            let Some(slot) = self.slots.get_mut(*slot) else { continue };
            let Some(bound) = &slot.bound else { continue };
            let track = self.tracks.get(bound.track);
            let paused = is_held_back(slot, track);
            let stats = &slot.stats;
            let sent =
                SlotSent { packets: stats.packets, bytes: stats.bytes, resent: stats.resent };
            figures = figures.with(slot.meter.close(sent, rtt, paused, heard, now));
            scores.push(slot.meter.score());
        }
        let down = transport.watch.down.end(figures, rtt, &scores, now);
        for (direction, news) in [(Direction::Up, up), (Direction::Down, down)] {
            if let Some(verdict) = news {
                let transport = transport.id;
                self.out.events.push(Event::Quality { transport, direction, verdict });
            }
        }
    }

    /// The newest window of each transport in each direction that has tracks.
    pub(crate) fn quality_table(&self) -> Table {
        let mut table = TableBuilder::new("quality");
        for (_, transport) in &self.transports {
            for (up, way) in [(1, &transport.watch.up), (0, &transport.watch.down)] {
                let Some(verdict) = way.quality.get() else { continue };
                let (figures, (frozen, freezes)) = (&way.figures, self.freezes(transport, up == 1));
                table
                    .row()
                    .count("transport", transport.id.0)
                    .count("up", up)
                    .count("class", verdict.class.rank().into())
                    .measure("score", Some(verdict.mos))
                    .count("packets", figures.packets)
                    .count("lost", figures.lost)
                    .count("unrepaired", figures.unrepaired)
                    .measure("loss_ratio", figures.loss())
                    .measure("jitter_s", Some(figures.jitter.as_secs_f64()))
                    .measure("rtt_s", way.rtt.map(|rtt| rtt.as_secs_f64()))
                    .measure("bitrate_bps", Some(figures.rate.as_f64_bps()))
                    .measure("concealed_ratio", Some(figures.concealed))
                    .count("freezes", freezes.into())
                    .measure("frozen_s", Some(frozen.as_secs_f64()));
            }
        }
        table.finish()
    }

    /// How long pictures stood still, and how often. Of a published track the lowest layer tells:
    /// its frames come whatever the others do.
    fn freezes(&self, transport: &Transport, up: bool) -> (Duration, u32) {
        let add = |(time, count): (Duration, u32), (more, times): (Duration, u32)| {
            (time + more, count + times)
        };
        if up {
            let tracks =
                transport.tracks.iter().filter_map(|key| self.tracks.get(*key)?.layers.first());
            tracks.map(|layer| layer.meter.freezes()).fold((Duration::ZERO, 0), add)
        } else {
            let slots = transport.slots.iter().filter_map(|(_, key)| self.slots.get(*key));
            slots.map(|slot| slot.meter.freezes()).fold((Duration::ZERO, 0), add)
        }
    }
}

impl Way {
    fn end(
        &mut self,
        figures: Figures,
        rtt: Option<Duration>,
        scores: &[f64],
        now: Instant,
    ) -> Option<Verdict> {
        (self.figures, self.rtt) = (figures, rtt);
        self.quality.update(scores.iter().copied(), now)
    }
}

fn look_at_track(track: &mut Track, now: Instant) {
    let unused = track.muted || track.wanted.is_idle();
    if unused {
        track.layers.iter_mut().for_each(|layer| layer.meter.on_stop(now));
    }
    // Before its first packet nothing is missed either.
    let began = track.layers.iter().any(|layer| layer.stats.packets > 0);
    let idle = if unused || !began { TICK } else { Duration::ZERO };
    let rate = track.codecs.first().map_or(1, |codec| codec.clock_rate.max(1));
    let live = track.layers.iter().filter(|layer| layer.is_live());
    let ticks = live.map(|layer| layer.reception.jitter()).max().unwrap_or(0);
    let jitter = Duration::from_secs_f64(f64::from(ticks) / f64::from(rate));
    track.meter.sample(jitter, idle);
}

fn look_at_slot(slot: &mut Slot, track: Option<&Track>, now: Instant) {
    let Some((track, bound)) = track.zip(slot.bound.as_ref()) else {
        return slot.meter.on_stop(now);
    };
    let stopped = track.muted || bound.wish.paused || bound.wish.max_height_px == 0;
    // One that its network holds back is told so: it is no riddle to its viewer.
    if stopped || is_held_back(slot, Some(track)) {
        slot.meter.on_stop(now);
    }
    // What does not come is nobody's wish unheard.
    let best = track.alive_since().iter().rposition(Option::is_some).map(|best| best as u8);
    let wanted = track.choose_layer(bound.wish.max_height_px).filter(|_| !stopped);
    let wanted = best.and_then(|best| Some(wanted?.min(best)));
    let forwarded = slot.current().map(|layer| layer.spatial);
    slot.meter.sample(wanted, forwarded, now);
    slot.meter.set_redundancy(slot.redundancy(kind_of(track) == TrackKind::Red));
}

/// The network is why the slot sends nothing of a picture that is wanted and comes.
fn is_held_back(slot: &Slot, track: Option<&Track>) -> bool {
    let Some((track, bound)) = track.zip(slot.bound.as_ref()) else { return false };
    let wanted = !bound.wish.paused && bound.wish.max_height_px > 0;
    let comes = !track.muted && track.layers.iter().any(Layer::is_live);
    slot.kind == MediaKind::Video && wanted && comes && slot.target().is_none()
}

fn kind_of(track: &Track) -> TrackKind {
    let codec = track.layers.first().and_then(|layer| layer.codec);
    let codec = codec.and_then(|codec| track.codecs.get(usize::from(codec)));
    match (track.kind, codec) {
        (MediaKind::Video, _) => TrackKind::Video,
        (MediaKind::Audio, Some(codec)) if codec.codec == Codec::Red => TrackKind::Red,
        (MediaKind::Audio, _) => TrackKind::Opus,
    }
}

fn totals_of(track: &Track) -> TrackTotals {
    let mut totals = TrackTotals::default();
    for layer in &track.layers {
        let (packets, lost) = layer.reception.totals();
        let (heard, concealed) = layer.meter.concealed();
        totals.packets += packets;
        totals.lost += lost;
        totals.repaired += layer.stats.repaired;
        totals.bytes += layer.stats.bytes;
        totals.heard += heard;
        totals.concealed += concealed;
    }
    totals
}
