//! Spreads what leaves for one transport, so that a keyframe does not overrun the last hop
//! (forwarding reference, section 6.9).
//!
//! A token bucket: while there are tokens, a packet leaves at once and is never stored, which is
//! the usual case. Else it waits in the queue of its class: retransmissions before video, video by
//! importance. Audio never waits, but takes its tokens. Padding exists only for probes.
//!
//! Fresh before late: a queue that would take too long loses its least important track up to that
//! track's next keyframe; a keyframe itself is given more time. Numbers of the transport (transport-wide sequence, abs-send-time) are to
//! be given when a packet leaves, not when it is pushed.

mod hold;
mod queues;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::hold::HoldStep;
use self::hold::{HOLD_TICK, Hold};
pub use self::queues::Place;
use self::queues::{Queues, Waiting};
use crate::bwe::{ProbeCluster, ProbeId};
use crate::ids::SlotId;
use crate::units::{Bitrate, DataSize};

/// Sending rate over the estimate where the path shows no limit: bursts leave faster than the mean
/// (libwebrtc has 2.5).
const FREE: f64 = 2.0;
/// The same where the estimate is about what the path takes: a keyframe sent faster would only wait
/// there, and the queue it makes would look like congestion.
const LIMITED: f64 = 1.1;
/// The path shows no limit if the estimate is so much more than all that is wanted.
const AMPLE: f64 = 1.25;
/// The bucket is filled at least at this rate. The reference has 1 Mbit/s; on a link of 300 kbit/s
/// that would put a whole keyframe into the queue there.
const MIN_RATE: Bitrate = Bitrate::kbps(200);
/// Depth of the bucket: so much time of its rate, within these bounds: 2 and 12 full packets.
const DEPTH: Duration = Duration::from_millis(10);
const MIN_DEPTH: DataSize = DataSize::bytes(2 * 1200);
const MAX_DEPTH: DataSize = DataSize::bytes(12 * 1200);
/// The same while a probe lasts.
const PROBE_DEPTH: DataSize = DataSize::bytes(1200);
/// Audio may run the bucket this far into debt, no further: it must not stop video for long.
const MAX_DEBT: DataSize = DataSize::bytes(4 * 1200);
/// While something waits, it is looked after at this pace ...
const TICK: Duration = Duration::from_millis(5);
/// ... and during a probe, whose packets should be evenly spaced, at this.
const PROBE_TICK: Duration = Duration::from_millis(2);
/// A queue longer than this is worth telling the allocator.
pub const LONG_QUEUE: Duration = Duration::from_millis(250);
/// A queue longer than this loses its least important track ...
const MAX_QUEUE: Duration = Duration::from_millis(500);
/// ... unless a keyframe waits in it: without it nothing is seen at all (libwebrtc's queue limit).
const MAX_KEYFRAME_QUEUE: Duration = Duration::from_secs(2);
/// Bound of memory, whatever the rate.
const MAX_PACKETS: usize = 2048;
/// A probe that could not be finished within this time is given up.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Smaller packets do not make a probe: their size says little about time on the wire (libwebrtc
/// has the same bound). What they take of the path counts.
pub(crate) const MIN_PROBE_SIZE: usize = 200;
/// What a packet carries; audio is never throttled but counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketClass {
    /// Opus.
    Audio,
    /// A forwarded video packet.
    Video,
    /// A retransmission that was asked for.
    Retransmission,
}

/// What the pacer must know of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Padding is not pushed, see [`Pacer::poll_padding`].
    pub class: PacketClass,
    /// The section it belongs to; packets of one slot and class never overtake each other.
    pub slot: SlotId,
    /// 0 (thumbnail) to 2 (screen share, pinned): the allocator's class.
    pub importance: u8,
    /// Bytes on the wire, IP and UDP headers included.
    pub size: usize,
    /// Forwarding may start here: it is the first packet of a keyframe.
    pub keyframe: bool,
    /// It is the first packet of its frame.
    pub start: bool,
    /// It is the last packet of its frame (all spatial layers).
    pub end: bool,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it now; it belongs to the probe, if one is given.
    Now(Option<ProbeId>),
    /// Let it wait: [`Pacer::queue`] must follow.
    Wait(Place),
    /// Its track is being dropped until the next keyframe.
    Drop,
}

/// A packet whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Release<T> {
    /// As pushed.
    pub header: Header,
    /// As pushed.
    pub item: T,
    /// The probe it belongs to.
    pub probe: Option<ProbeId>,
    /// When it was pushed.
    pub pushed: Instant,
}

/// A track lost its queued packets and waits for a keyframe: ask the publisher for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which.
    pub slot: SlotId,
    /// Packets dropped from the queue.
    pub packets: usize,
}

/// Paces one transport.
#[derive(Debug)]
pub struct Pacer<T> {
    rate: Bitrate,
    depth: f64,
    /// Bytes that may leave now; negative after audio took more than there was.
    tokens: f64,
    filled: Option<Instant>,
    queues: Queues<T>,
    hold: Hold,
    probe: Option<Probe>,
    /// Slots that lost their packets and have not seen a keyframe since.
    cut: Vec<SlotId>,
    /// Slots in the middle of a keyframe.
    in_keyframe: Vec<SlotId>,
    news: VecDeque<Cut>,
    superseded: u64,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    cluster: ProbeCluster,
    since: Instant,
    packets: usize,
    bytes: usize,
}

impl<T> Pacer<T> {
    /// A full bucket for this estimate.
    #[must_use]
    pub fn new(estimate: Bitrate) -> Self {
        let mut pacer = Self {
            rate: MIN_RATE,
            depth: 0.0,
            tokens: MAX_DEPTH.as_bytes() as f64,
            filled: None,
            queues: Queues::new(),
            hold: Hold::default(),
            probe: None,
            cut: Vec::new(),
            in_keyframe: Vec::new(),
            news: VecDeque::new(),
            superseded: 0,
        };
        pacer.set_estimate(estimate, Bitrate::ZERO);
        pacer
    }

    /// The estimate changed, or what is wanted in all (`allocator::Summary::wanted`).
    pub fn set_estimate(&mut self, estimate: Bitrate, wanted: Bitrate) {
        let ample = estimate >= wanted * AMPLE;
        self.rate = (estimate * if ample { FREE } else { LIMITED }).max(MIN_RATE);
        let depth = if ample { MAX_DEPTH } else { self.rate * DEPTH };
        self.depth = depth.clamp(MIN_DEPTH, MAX_DEPTH).as_bytes() as f64;
    }

    /// The path itself holds a queue of this length (`bwe::SendSide::path_queue`, and `path_drain` while
    /// [`Self::held`]). A long one has to drain first: for a while nothing but audio leaves.
    pub fn set_path_queue(&mut self, queue: Duration, now: Instant) -> Option<HoldStep> {
        self.hold.update(queue, now)
    }

    /// Nothing but audio leaves.
    #[must_use]
    pub fn held(&self) -> bool {
        self.hold.on()
    }

    /// Since when, if so.
    #[must_use]
    pub fn silent_since(&self) -> Option<Instant> {
        self.hold.silent_since()
    }

    /// What waits, or has waited, does so for the path's queue, not because it is too much.
    #[must_use]
    pub fn shows_hold(&self, now: Instant) -> bool {
        self.hold.shows(now)
    }

    /// This slot goes on until the path's queue is shorter: what is left of it is little.
    pub fn spare(&mut self, slot: SlotId) {
        self.hold.spare(slot);
    }

    /// Plays a probe: from now until it is complete everything that leaves belongs to it, and what
    /// media does not fill comes from [`Self::poll_padding`]. Replaces an unfinished one.
    pub fn start_probe(&mut self, cluster: ProbeCluster, now: Instant) {
        // A burst says nothing about the rate of the path.
        self.tokens = self.tokens.min(PROBE_DEPTH.as_bytes() as f64);
        self.probe = Some(Probe { cluster, since: now, packets: 0, bytes: 0 });
    }

    /// How long the newest packet will wait, or the oldest one has waited, whichever is more.
    #[must_use]
    pub fn queue_delay(&self, now: Instant) -> Duration {
        let waited =
            self.queues.oldest().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        waited.max(DataSize::of(self.queues.bytes()) / self.rate)
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queues.bytes()
    }

    /// Judges a packet that is ready to leave.
    #[inline]
    pub fn admit(&mut self, header: &Header, now: Instant) -> Verdict {
        self.fill(now);
        if header.class == PacketClass::Audio {
            return Verdict::Now(self.take(header.size));
        }
        if !self.cut.is_empty() && !self.pass_cut(header) {
            return Verdict::Drop;
        }
        let key = self.is_of_keyframe(header);
        let clear = match self.held() {
            true => self.hold.spares(header.slot) && !self.queues.holds(header.slot),
            false => self.queues.is_empty(),
        };
        if clear && self.tokens > 0.0 {
            return Verdict::Now(self.take(header.size));
        }
        Verdict::Wait(self.queues.place(header, key))
    }

    /// Takes a packet that has to wait; `poll` gives it back. False: the queue is too long, and the
    /// packet was dropped with its track.
    pub fn queue(&mut self, header: Header, place: Place, item: T, now: Instant) -> bool {
        if header.keyframe && self.held() {
            self.superseded += self.queues.drop_waiting(header.slot) as u64;
        }
        self.queues.push(place, Waiting { header, key: place.key, pushed: now, item });
        self.shorten(now);
        !self.cut.contains(&header.slot)
    }

    /// The next packet that may leave now.
    pub fn poll(&mut self, now: Instant) -> Option<Release<T>> {
        self.fill(now);
        if self.queues.is_empty() || self.tokens <= 0.0 && !self.queues.is_urgent() {
            return None;
        }
        self.advance_keyframe(now);
        let waiting = match self.held() {
            true => self.queues.pop_first(|slot| self.hold.spares(slot)),
            false => self.queues.pop(),
        }?;
        self.hold.disturb(now);
        let probe = self.take(waiting.header.size);
        Some(Release { header: waiting.header, item: waiting.item, probe, pushed: waiting.pushed })
    }

    /// Whether the probe wants a packet beside the media now. Send one, best a recent packet again,
    /// else padding, and tell its size to [`Self::sent_padding`]. Ask after `poll` gave nothing.
    pub fn poll_padding(&mut self, now: Instant) -> Option<ProbeId> {
        let probe = self.probe?;
        self.fill(now);
        let elapsed = now.saturating_duration_since(probe.since);
        if elapsed > PROBE_TIMEOUT {
            self.probe = None;
            return None;
        }
        let due = (probe.cluster.rate * elapsed).as_bytes();
        let wanted = self.queues.is_empty() && !self.held() && due >= probe.bytes as u64;
        wanted.then_some(probe.cluster.id)
    }

    /// A packet for the probe has left; `None`: there was none to send, the probe ends.
    pub fn sent_padding(&mut self, size: Option<usize>) {
        match size {
            Some(size) => {
                self.take(size);
            }
            None => self.probe = None,
        }
    }

    /// The next track that lost its queued packets.
    pub fn poll_cut(&mut self) -> Option<Cut> {
        self.news.pop_front()
    }

    /// Packets that were dropped because a newer keyframe came to wait behind them.
    #[must_use]
    pub fn superseded(&self) -> u64 {
        self.superseded
    }

    /// A slot has another source, or none: what waits is of no use any more. Returns how many
    /// packets that were.
    pub fn forget_slot(&mut self, slot: SlotId) -> usize {
        self.cut.retain(|cut| *cut != slot);
        self.in_keyframe.retain(|open| *open != slot);
        self.queues.drop_slot(slot)
    }

    /// What waits of a slot is of no use any more, except the last packets of a frame: without
    /// them all of it that has left already would be of none either. Returns how many were dropped.
    pub fn end_slot(&mut self, slot: SlotId) -> usize {
        self.in_keyframe.retain(|open| *open != slot);
        self.queues.end_slot(slot)
    }

    /// How long the first packet of a slot has waited.
    #[must_use]
    pub fn waited(&self, slot: SlotId, now: Instant) -> Duration {
        let since = self.queues.since(slot);
        since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

    /// When to poll again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let filled = self.filled?;
        if !self.news.is_empty() {
            return Some(filled);
        }
        if self.probe.is_some() {
            return Some(filled + PROBE_TICK);
        }
        let leaves = |slot: &SlotId| self.queues.holds(*slot);
        if self.held() && !self.queues.is_ending() && !self.hold.spared().iter().any(leaves) {
            return Some(filled + HOLD_TICK);
        }
        if self.queues.is_empty() {
            return None;
        }
        let missing = DataSize::bytes((-self.tokens).max(0.0) as u64);
        Some(filled + (missing / self.rate).max(TICK))
    }

    /// A keyframe need not wait for the end of a hold, once as much has left the path's queue as it
    /// will take there: it comes out behind what is old, and before the sound that follows.
    fn advance_keyframe(&mut self, now: Instant) {
        if self.held()
            && let Some((slot, bytes)) = self.queues.keyframe()
            && self.hold.advances(DataSize::of(bytes) / self.rate, now)
        {
            self.queues.advance_keyframe(slot);
        }
    }

    /// Whether a packet may pass though its track was cut: only a keyframe ends that.
    fn pass_cut(&mut self, header: &Header) -> bool {
        let Some(index) = self.cut.iter().position(|slot| *slot == header.slot) else {
            return true;
        };
        let starts = header.keyframe && header.class == PacketClass::Video;
        if starts {
            self.cut.swap_remove(index);
        }
        starts
    }

    /// Follows keyframes from their first to their last packet.
    fn is_of_keyframe(&mut self, header: &Header) -> bool {
        if header.class != PacketClass::Video {
            return false;
        }
        let open = self.in_keyframe.iter().position(|slot| *slot == header.slot);
        match (header.keyframe, header.end, open) {
            (true, false, None) => self.in_keyframe.push(header.slot),
            (_, true, Some(index)) => {
                self.in_keyframe.swap_remove(index);
            }
            _ => {}
        }
        header.keyframe || open.is_some()
    }

    fn fill(&mut self, now: Instant) {
        let last = self.filled.replace(now).unwrap_or(now);
        if last == now {
            return;
        }
        let elapsed = now.saturating_duration_since(last).as_secs_f64();
        let (rate, depth) = match &self.probe {
            Some(probe) => (self.rate.max(probe.cluster.rate), PROBE_DEPTH.as_bytes() as f64),
            None => (self.rate, self.depth),
        };
        self.tokens += elapsed * rate.as_f64_bps() / 8.0;
        self.tokens = self.tokens.min(depth);
    }

    /// Books a packet that leaves; names the probe it belongs to.
    fn take(&mut self, size: usize) -> Option<ProbeId> {
        self.tokens = (self.tokens - size as f64).max(-(MAX_DEBT.as_bytes() as f64));
        let probe = self.probe.as_mut()?;
        let id = probe.cluster.id;
        probe.packets += usize::from(size >= MIN_PROBE_SIZE);
        probe.bytes += size;
        // One packet more than asked for: the first only marks the start of the measurement.
        if probe.packets > probe.cluster.min_packets && probe.bytes > probe.cluster.min_bytes {
            self.probe = None;
        }
        Some(id)
    }

    /// Drops what makes the queue too long.
    fn shorten(&mut self, now: Instant) {
        while self.queue_delay(now) > MAX_QUEUE || self.queues.len() > MAX_PACKETS {
            let keys_too =
                self.queue_delay(now) > MAX_KEYFRAME_QUEUE || self.queues.len() > MAX_PACKETS;
            let Some(slot) = self.queues.least_important(keys_too) else { return };
            let packets = self.queues.drop_slot(slot);
            self.in_keyframe.retain(|open| *open != slot);
            self.cut.push(slot);
            self.news.push_back(Cut { slot, packets });
        }
    }
}

#[cfg(test)]
mod tests;
