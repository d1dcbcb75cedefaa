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

use std::collections::VecDeque;
use std::time::{Duration, Instant};

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
const MIN_RATE: Bitrate = Bitrate::kbps(300);
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
/// With more than this in the queue of the path itself, video waits here, where it can be dropped,
/// and audio is not stuck behind it ...
const HOLD_ABOVE: Duration = Duration::from_millis(400);
/// ... until there is less than this; what is known of the queue is a round trip old. It is looked
/// at again at the pace of [`HOLD_TICK`].
const HOLD_UNTIL_BELOW: Duration = Duration::from_millis(200);
/// Keyframes are asked for so much earlier: they have to be encoded, and come from afar.
const PREPARE: Duration = Duration::from_millis(200);
const HOLD_TICK: Duration = Duration::from_millis(50);
/// But no longer than this, ...
const MAX_HOLD: Duration = Duration::from_millis(1500);
/// ... and not again so soon after: the queue may be made by others.
const HOLD_PAUSE: Duration = Duration::from_secs(5);
/// Queues: retransmissions, then video by importance.
const QUEUES: usize = 1 + IMPORTANCES;
const IMPORTANCES: usize = 3;

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

/// Where a packet waits, from [`Pacer::admit`] to [`Pacer::queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    queue: usize,
    key: bool,
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
    queues: [VecDeque<Waiting<T>>; QUEUES],
    queued_bytes: usize,
    queued_packets: usize,
    /// Only audio leaves, since then.
    held_since: Option<Instant>,
    /// Nothing new is to be made for it either.
    paused: bool,
    /// But these go on: what is left of them is little.
    spared: Vec<SlotId>,
    no_hold_before: Option<Instant>,
    probe: Option<Probe>,
    /// Slots that lost their packets and have not seen a keyframe since.
    cut: Vec<SlotId>,
    /// Slots in the middle of a keyframe.
    in_keyframe: Vec<SlotId>,
    news: VecDeque<Cut>,
}

#[derive(Debug)]
struct Waiting<T> {
    header: Header,
    /// It is part of a keyframe.
    key: bool,
    pushed: Instant,
    item: T,
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
            queues: std::array::from_fn(|_| VecDeque::new()),
            queued_bytes: 0,
            queued_packets: 0,
            held_since: None,
            paused: false,
            spared: Vec::new(),
            no_hold_before: None,
            probe: None,
            cut: Vec::new(),
            in_keyframe: Vec::new(),
            news: VecDeque::new(),
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

    /// The path itself holds a queue of this length (`bwe::SendSide::path_queue`). A long one has to
    /// drain first: for a while nothing but audio leaves.
    ///
    /// True: [`Self::paused`] has changed.
    pub fn set_path_queue(&mut self, queue: Duration, now: Instant) -> bool {
        let before = self.paused;
        match self.held_since {
            Some(since) => {
                self.paused &= queue >= HOLD_UNTIL_BELOW + PREPARE;
                if queue < HOLD_UNTIL_BELOW || now >= since + MAX_HOLD {
                    self.held_since = None;
                    self.paused = false;
                    self.spared.clear();
                    self.no_hold_before = Some(now + HOLD_PAUSE);
                }
            }
            None => {
                let rested = self.no_hold_before.is_none_or(|at| now >= at);
                self.held_since = (queue > HOLD_ABOVE && rested).then_some(now);
                self.paused = self.held();
            }
        }
        before != self.paused
    }

    /// Nothing but audio leaves.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held_since.is_some()
    }

    /// This slot goes on until the path's queue is shorter: what is left of it is little.
    pub fn spare(&mut self, slot: SlotId) {
        if self.held() && !self.spared.contains(&slot) {
            self.spared.push(slot);
        }
    }

    /// What would wait here until the path's queue is shorter is best not made at all. This ends
    /// before [`Self::held`] does, so that keyframes are here when they may leave.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.paused
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
        if self.queued_packets == 0 {
            return Duration::ZERO;
        }
        let oldest = self.queues.iter().filter_map(|queue| queue.front()).map(|w| w.pushed).min();
        let waited = oldest.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        waited.max(DataSize::of(self.queued_bytes) / self.rate)
    }

    /// Bytes that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
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
            true => self.spared.contains(&header.slot) && !self.waits(header.slot),
            false => self.queued_packets == 0,
        };
        if clear && self.tokens > 0.0 {
            return Verdict::Now(self.take(header.size));
        }
        Verdict::Wait(Place { queue: self.queue_of(header), key })
    }

    /// Takes a packet that has to wait; `poll` gives it back. False: the queue is too long, and the
    /// packet was dropped with its track.
    pub fn queue(&mut self, header: Header, place: Place, item: T, now: Instant) -> bool {
        let Place { queue, key } = place;
        self.queues[queue].push_back(Waiting { header, key, pushed: now, item });
        self.queued_bytes += header.size;
        self.queued_packets += 1;
        self.shorten(now);
        !self.cut.contains(&header.slot)
    }

    /// The next packet that may leave now.
    pub fn poll(&mut self, now: Instant) -> Option<Release<T>> {
        self.fill(now);
        if self.queued_packets == 0 || self.tokens <= 0.0 {
            return None;
        }
        let waiting = match self.held() {
            true => self.take_spared(),
            false => self.queues.iter_mut().find_map(VecDeque::pop_front),
        }?;
        self.forget(&waiting.header);
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
        let wanted = self.queued_packets == 0 && !self.held() && due >= probe.bytes as u64;
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

    /// A slot has another source, or none: what waits is of no use any more. Returns how many
    /// packets that were.
    pub fn forget_slot(&mut self, slot: SlotId) -> usize {
        self.cut.retain(|cut| *cut != slot);
        self.in_keyframe.retain(|open| *open != slot);
        self.drop_slot(slot)
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
        if self.held() && !self.spared.iter().any(|slot| self.waits(*slot)) {
            return Some(filled + HOLD_TICK);
        }
        if self.queued_packets == 0 {
            return None;
        }
        let missing = DataSize::bytes((-self.tokens).max(0.0) as u64);
        Some(filled + (missing / self.rate).max(TICK))
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

    fn waits(&self, slot: SlotId) -> bool {
        self.queues.iter().flatten().any(|waiting| waiting.header.slot == slot)
    }

    /// The first packet that leaves though all else is held.
    fn take_spared(&mut self) -> Option<Waiting<T>> {
        let Self { spared, queues, .. } = self;
        let spares = |waiting: &Waiting<T>| spared.contains(&waiting.header.slot);
        queues.iter_mut().find_map(|queue| queue.remove(queue.iter().position(spares)?))
    }

    /// Where a packet waits: behind those of its slot that wait already, else by importance.
    fn queue_of(&self, header: &Header) -> usize {
        if header.class == PacketClass::Retransmission {
            return 0;
        }
        let importance = usize::from(header.importance).min(IMPORTANCES - 1);
        let same = |queue: &usize| {
            self.queues[*queue].iter().any(|waiting| waiting.header.slot == header.slot)
        };
        (1..QUEUES).find(same).unwrap_or(QUEUES - 1 - importance)
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

    fn forget(&mut self, header: &Header) {
        self.queued_bytes -= header.size;
        self.queued_packets -= 1;
    }

    /// Drops what makes the queue too long.
    fn shorten(&mut self, now: Instant) {
        while self.queue_delay(now) > MAX_QUEUE || self.queued_packets > MAX_PACKETS {
            let keys_too =
                self.queue_delay(now) > MAX_KEYFRAME_QUEUE || self.queued_packets > MAX_PACKETS;
            let Some(slot) = self.least_important(keys_too) else { return };
            let packets = self.drop_slot(slot);
            self.in_keyframe.retain(|open| *open != slot);
            self.cut.push(slot);
            self.news.push_back(Cut { slot, packets });
        }
    }

    /// The slot to drop: of the least importance, the longest queue. Without `keys_too` only one
    /// that has no keyframe waiting.
    fn least_important(&self, keys_too: bool) -> Option<SlotId> {
        self.queues.iter().rev().find_map(|queue| {
            let of = |slot: SlotId| queue.iter().filter(move |w| w.header.slot == slot);
            let slots = queue.iter().map(|waiting| waiting.header.slot);
            slots
                .filter(|slot| keys_too || !of(*slot).any(|waiting| waiting.key))
                .max_by_key(|slot| of(*slot).map(|waiting| waiting.header.size).sum::<usize>())
        })
    }

    fn drop_slot(&mut self, slot: SlotId) -> usize {
        let before = self.queued_packets;
        for queue in &mut self.queues {
            queue.retain(|waiting| {
                let keep = waiting.header.slot != slot;
                if !keep {
                    self.queued_bytes -= waiting.header.size;
                    self.queued_packets -= 1;
                }
                keep
            });
        }
        before - self.queued_packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[derive(Debug, PartialEq, Eq)]
    enum Pushed {
        Now(Option<ProbeId>),
        Queued,
        Dropped,
    }

    impl Pacer<u32> {
        fn push(&mut self, header: Header, item: u32, now: Instant) -> Pushed {
            match self.admit(&header, now) {
                Verdict::Now(probe) => Pushed::Now(probe),
                Verdict::Wait(place) if self.queue(header, place, item, now) => Pushed::Queued,
                Verdict::Wait(_) | Verdict::Drop => Pushed::Dropped,
            }
        }
    }

    const CAMERA: SlotId = SlotId(1);
    const SCREEN: SlotId = SlotId(2);

    fn header(class: PacketClass, slot: SlotId, importance: u8) -> Header {
        Header { class, slot, importance, size: 1200, keyframe: false, end: false }
    }

    fn video(slot: SlotId, importance: u8) -> Header {
        header(PacketClass::Video, slot, importance)
    }

    /// Half a megabit a second: 62.5 bytes a millisecond.
    fn pacer() -> Pacer<u32> {
        Pacer::new(Bitrate::kbps(250))
    }

    /// Empties the bucket and leaves one packet waiting.
    fn saturate(pacer: &mut Pacer<u32>, now: Instant) {
        for i in 0..12 {
            assert_eq!(pacer.push(video(CAMERA, 1), i, now), Pushed::Now(None));
        }
        assert_eq!(pacer.push(video(CAMERA, 1), 12, now), Pushed::Queued);
    }

    fn drain(pacer: &mut Pacer<u32>, from: Instant, time: Duration) -> Vec<(Instant, u32)> {
        let mut released = Vec::new();
        let mut now = from;
        while now < from + time {
            now += MS;
            while let Some(release) = pacer.poll(now) {
                released.push((now, release.item));
            }
        }
        released
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        for i in 13..20 {
            pacer.push(video(CAMERA, 1), i, now);
        }
        let released = drain(&mut pacer, now, 200 * MS);
        let items: Vec<u32> = released.iter().map(|r| r.1).collect();
        assert_eq!(items, (12..20).collect::<Vec<_>>());
        let took = released[7].0 - released[0].0;
        assert!(took >= 130 * MS && took <= 138 * MS, "{took:?}: 7 packets of 19.2 ms");
    }

    #[test]
    fn audio_never_waits() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        let audio = Header { size: 150, ..header(PacketClass::Audio, SlotId(9), 0) };
        for i in 100..200 {
            assert_eq!(pacer.push(audio, i, now), Pushed::Now(None));
        }
        let first = drain(&mut pacer, now, 200 * MS)[0].0;
        assert!(first - now <= 78 * MS, "video waits for the debt of 4800 bytes at most");
    }

    #[test]
    fn retransmissions_first_then_by_importance() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        pacer.push(video(CAMERA, 0), 1, now);
        pacer.push(video(SCREEN, 2), 2, now);
        pacer.push(header(PacketClass::Retransmission, CAMERA, 1), 3, now);
        let items: Vec<u32> = drain(&mut pacer, now, 200 * MS).into_iter().map(|r| r.1).collect();
        assert_eq!(items, [3, 2, 12, 1]);
    }

    #[test]
    fn a_track_that_gains_importance_keeps_its_order() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        pacer.push(video(CAMERA, 2), 13, now);
        let items: Vec<u32> = drain(&mut pacer, now, 100 * MS).into_iter().map(|r| r.1).collect();
        assert_eq!(items, [12, 13]);
    }

    #[test]
    fn too_long_a_queue_loses_the_least_important_track_until_its_keyframe() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        for i in 0..20 {
            assert_eq!(pacer.push(video(SCREEN, 2), i, now), Pushed::Queued);
        }
        // 26 packets at 62.5 bytes/ms are 499 ms; the next is one too many.
        for i in 0..5 {
            assert_eq!(pacer.push(video(CAMERA, 1), i, now), Pushed::Queued);
        }
        assert_eq!(pacer.push(video(CAMERA, 1), 5, now), Pushed::Dropped);
        assert_eq!(pacer.poll_cut(), Some(Cut { slot: CAMERA, packets: 7 }));
        assert_eq!(pacer.poll_cut(), None);
        assert_eq!(pacer.push(video(CAMERA, 1), 6, now), Pushed::Dropped);
        let resent = header(PacketClass::Retransmission, CAMERA, 1);
        assert_eq!(pacer.push(resent, 6, now), Pushed::Dropped);
        let key = Header { keyframe: true, ..video(CAMERA, 1) };
        assert_eq!(pacer.push(key, 7, now), Pushed::Queued);
        assert_eq!(pacer.queued_bytes(), 21 * 1200);
    }

    #[test]
    fn a_keyframe_may_take_longer() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        drain(&mut pacer, now, 300 * MS);
        let now = now + 300 * MS;
        let key = Header { keyframe: true, ..video(SCREEN, 2) };
        assert_eq!(pacer.push(key, 0, now), Pushed::Now(None));
        for i in 1..50 {
            let verdict = pacer.push(Header { end: i == 49, ..video(SCREEN, 2) }, i, now);
            assert_ne!(verdict, Pushed::Dropped, "packet {i} of the keyframe");
        }
        assert!(pacer.queue_delay(now) > MAX_QUEUE);
        // What follows waits behind it; another camera without a keyframe goes.
        assert_eq!(pacer.push(video(SCREEN, 2), 50, now), Pushed::Queued);
        assert_eq!(pacer.push(video(CAMERA, 1), 51, now), Pushed::Dropped);
        for i in 52..200 {
            pacer.push(video(SCREEN, 2), i, now);
        }
        assert!(pacer.queue_delay(now) <= MAX_KEYFRAME_QUEUE);
    }

    #[test]
    fn keyframes_are_made_again_before_the_hold_ends() {
        let start = Instant::now();
        let mut pacer = pacer();
        assert!(pacer.set_path_queue(HOLD_ABOVE + MS, start) && pacer.paused());
        assert!(!pacer.set_path_queue(HOLD_UNTIL_BELOW + PREPARE, start + 100 * MS));
        let before = HOLD_UNTIL_BELOW + PREPARE - MS;
        assert!(pacer.set_path_queue(before, start + 150 * MS) && !pacer.paused());
        assert!(pacer.held(), "but they do not leave yet");
        assert!(!pacer.set_path_queue(HOLD_ABOVE + MS, start + 200 * MS), "nor stops it twice");
        assert!(!pacer.set_path_queue(Duration::ZERO, start + 300 * MS));
        assert!(!pacer.held() && !pacer.paused());
    }

    #[test]
    fn what_is_spared_goes_on_in_order_while_the_rest_is_held() {
        let now = Instant::now();
        let mut pacer = pacer();
        saturate(&mut pacer, now);
        assert_eq!(pacer.push(video(SCREEN, 2), 20, now), Pushed::Queued);
        pacer.set_path_queue(HOLD_ABOVE + MS, now);
        pacer.spare(CAMERA);
        assert_eq!(pacer.push(video(CAMERA, 1), 13, now + 60 * MS), Pushed::Queued, "12 waits");
        let released = drain(&mut pacer, now + 60 * MS, 100 * MS);
        assert_eq!(released.iter().map(|(_, item)| *item).collect::<Vec<_>>(), [12, 13]);
        assert_eq!(pacer.push(video(CAMERA, 1), 14, now + 200 * MS), Pushed::Now(None));
        pacer.set_path_queue(Duration::ZERO, now + 250 * MS);
        assert_eq!(drain(&mut pacer, now + 250 * MS, 50 * MS)[0].1, 20);
    }

    #[test]
    fn held_video_waits_and_is_dropped_when_old() {
        let (mut pacer, now) = (pacer(), Instant::now());
        pacer.set_path_queue(HOLD_ABOVE + MS, now);
        assert_eq!(pacer.push(video(CAMERA, 1), 0, now), Pushed::Queued);
        assert_eq!(pacer.poll(now + 100 * MS), None);
        assert_eq!(pacer.poll_timeout(), Some(now + 100 * MS + HOLD_TICK));
        pacer.set_path_queue(HOLD_UNTIL_BELOW, now + 400 * MS);
        assert_eq!(pacer.push(video(CAMERA, 1), 1, now + 501 * MS), Pushed::Dropped);
        pacer.set_path_queue(HOLD_UNTIL_BELOW - MS, now + 502 * MS);
        let key = Header { keyframe: true, ..video(CAMERA, 1) };
        assert_eq!(pacer.push(key, 2, now + 502 * MS), Pushed::Now(None));
    }

    #[test]
    fn a_queue_that_others_make_does_not_stop_video_for_good() {
        let (mut pacer, start) = (pacer(), Instant::now());
        let mut held = 0;
        for i in 0..200_u32 {
            pacer.set_path_queue(HOLD_ABOVE * 2, start + 100 * MS * i);
            held += u32::from(pacer.held());
        }
        assert!((40..=60).contains(&held), "{held} of 200");
    }

    #[test]
    fn a_probe_is_filled_by_media_and_padding_at_its_rate() {
        let (mut pacer, mut now) = (pacer(), Instant::now());
        let cluster = ProbeCluster {
            id: ProbeId(7),
            rate: Bitrate::mbps(4),
            min_packets: 5,
            min_bytes: 10_000,
        };
        pacer.push(video(CAMERA, 1), 0, now);
        pacer.start_probe(cluster, now);
        let start = now;
        assert_eq!(pacer.push(video(CAMERA, 1), 0, now), Pushed::Now(Some(ProbeId(7))));
        let mut sent = 1;
        while pacer.probe.is_some() {
            now += 2 * MS;
            while pacer.poll_padding(now).is_some() {
                pacer.sent_padding(Some(1200));
                sent += 1;
            }
        }
        assert_eq!(sent, 9, "over 10 000 bytes");
        let took = now - start;
        assert!(took >= 18 * MS && took <= 22 * MS, "{took:?}");
        assert_eq!(pacer.push(video(CAMERA, 1), 0, now + 20 * MS), Pushed::Now(None));
    }

    #[test]
    fn a_probe_without_anything_to_send_ends() {
        let (mut pacer, now) = (pacer(), Instant::now());
        let cluster = ProbeCluster {
            id: ProbeId(1),
            rate: Bitrate::mbps(1),
            min_packets: 5,
            min_bytes: 2500,
        };
        pacer.start_probe(cluster, now);
        assert!(pacer.poll_padding(now).is_some());
        pacer.sent_padding(None);
        assert_eq!(pacer.poll_padding(now), None);
        pacer.start_probe(cluster, now);
        assert_eq!(pacer.poll_padding(now + PROBE_TIMEOUT + MS), None);
    }

    #[test]
    fn another_source_forgets_what_waited() {
        let (mut pacer, now) = (pacer(), Instant::now());
        saturate(&mut pacer, now);
        pacer.forget_slot(CAMERA);
        assert_eq!(pacer.queued_bytes(), 0);
        assert_eq!(pacer.queue_delay(now), Duration::ZERO);
    }
}
