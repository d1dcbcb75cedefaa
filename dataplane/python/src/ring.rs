//! From worker to worker: bounded queues that never block, and a wake-up for who sleeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use airside_engine::ids::WorkerId;
use airside_engine::net::{Datagram, Protocol};
use airside_engine::ring::RingMessage;

use crate::udp::EventFd;

/// Parcels that may wait for one worker. A parcel is what one turn of another one made.
const MAX_PARCELS: usize = 2048;
/// Messages in one parcel: a receive batch, fanned out over the layers of a few tracks.
const MAX_MESSAGES: usize = 1024;

/// Wakes one worker; costs a system call only if it sleeps.
#[derive(Debug)]
pub(crate) struct Waker {
    event: EventFd,
    sleeping: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { event: EventFd::new()?, sleeping: AtomicBool::new(false) })
    }

    pub(crate) fn event(&self) -> &EventFd {
        &self.event
    }

    /// To be called after something was put into one of the worker's queues.
    pub(crate) fn wake(&self) {
        // Orders the queue before the flag; `doze` orders them the other way round, so at least
        // one side sees what the other did.
        fence(Ordering::SeqCst);
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.event.signal();
        }
    }

    /// The worker is about to sleep; it has to look into its queues once more after this.
    pub(crate) fn doze(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The worker is awake.
    pub(crate) fn rise(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }
}

/// What one worker sends another in one turn.
pub(crate) enum Parcel {
    /// Between engines.
    Messages(Vec<RingMessage>),
    /// What the kernel gave to the wrong worker.
    Datagrams(RawBatch),
}

/// Received datagrams on their way to their owner.
pub(crate) struct RawBatch {
    /// When they were received.
    pub(crate) arrival: Instant,
    bytes: Vec<u8>,
    entries: Vec<(u16, SocketAddr, usize)>,
}

impl RawBatch {
    fn new(arrival: Instant) -> Self {
        Self { arrival, bytes: Vec::new(), entries: Vec::new() }
    }

    fn push(&mut self, datagram: &Datagram<'_>) {
        self.bytes.extend_from_slice(datagram.data);
        self.entries.push((datagram.local, datagram.remote, datagram.data.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The datagrams, to be changed in place.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let mut rest = self.bytes.as_mut_slice();
        self.entries.iter().map(move |(local, remote, len)| {
            let (data, behind) = std::mem::take(&mut rest).split_at_mut(*len);
            rest = behind;
            Datagram { local: *local, remote: *remote, protocol: Protocol::Udp, data }
        })
    }
}

/// One worker's end of all rings.
pub(crate) struct Ring {
    me: WorkerId,
    inbox: Receiver<(WorkerId, Parcel)>,
    peers: Vec<Peer>,
    /// Messages and datagrams dropped because a peer did not keep up.
    pub(crate) dropped: u64,
}

struct Peer {
    sender: SyncSender<(WorkerId, Parcel)>,
    waker: Arc<Waker>,
    messages: Vec<RingMessage>,
    raw: Option<RawBatch>,
}

impl Ring {
    /// The rings between all workers, one end each.
    pub(crate) fn connect(wakers: &[Arc<Waker>]) -> Vec<Self> {
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            wakers.iter().map(|_| sync_channel(MAX_PARCELS)).unzip();
        let peers = || {
            let ends = senders.iter().zip(wakers);
            ends.map(|(sender, waker)| Peer {
                sender: SyncSender::clone(sender),
                waker: Arc::clone(waker),
                messages: Vec::new(),
                raw: None,
            })
        };
        let inboxes = inboxes.into_iter().enumerate();
        inboxes
            .map(|(index, inbox)| Self {
                me: WorkerId(u8::try_from(index).unwrap_or(u8::MAX)),
                inbox,
                peers: peers().collect(),
                dropped: 0,
            })
            .collect()
    }

    /// The next parcel for this worker, and who sent it.
    pub(crate) fn receive(&self) -> Option<(WorkerId, Parcel)> {
        self.inbox.try_recv().ok()
    }

    /// A message for another worker; leaves with the next `flush`.
    pub(crate) fn push(&mut self, to: WorkerId, message: RingMessage) {
        let Some(peer) = self.peers.get_mut(usize::from(to.0)) else {
            self.dropped += 1;
            return;
        };
        peer.messages.push(message);
        if peer.messages.len() >= MAX_MESSAGES {
            self.dropped += peer.send(self.me);
        }
    }

    /// A datagram for another worker, likewise.
    pub(crate) fn push_raw(&mut self, to: WorkerId, datagram: &Datagram<'_>, arrival: Instant) {
        match self.peers.get_mut(usize::from(to.0)) {
            Some(peer) => peer.raw.get_or_insert_with(|| RawBatch::new(arrival)).push(datagram),
            None => self.dropped += 1,
        }
    }

    /// Sends what was pushed since. What a full peer cannot take is dropped and counted.
    pub(crate) fn flush(&mut self) {
        for peer in &mut self.peers {
            self.dropped += peer.send(self.me);
        }
    }
}

impl Peer {
    /// Returns how much was dropped.
    fn send(&mut self, from: WorkerId) -> u64 {
        let messages = std::mem::take(&mut self.messages);
        let messages = (!messages.is_empty()).then_some(Parcel::Messages(messages));
        let mut dropped = 0;
        let mut sent = false;
        for parcel in self.raw.take().map(Parcel::Datagrams).into_iter().chain(messages) {
            match self.sender.try_send((from, parcel)) {
                Ok(()) => sent = true,
                Err(TrySendError::Full((_, parcel)) | TrySendError::Disconnected((_, parcel))) => {
                    dropped += parcel.len();
                }
            }
        }
        if sent {
            self.waker.wake();
        }
        dropped
    }
}

impl Parcel {
    fn len(&self) -> u64 {
        match self {
            Self::Messages(messages) => messages.len() as u64,
            Self::Datagrams(batch) => batch.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use airside_engine::ids::TrackId;

    use super::*;

    fn rings(count: usize) -> (Vec<Arc<Waker>>, Vec<Ring>) {
        let wakers: Vec<_> = (0..count).map(|_| Arc::new(Waker::new().unwrap())).collect();
        let rings = Ring::connect(&wakers);
        (wakers, rings)
    }

    fn keyframe(layer: u8) -> RingMessage {
        RingMessage::Keyframe { track: TrackId(1), layer }
    }

    #[test]
    fn one_turn_is_one_parcel_in_order() {
        let (_, mut rings) = rings(2);
        for layer in 0..3 {
            rings[0].push(WorkerId(1), keyframe(layer));
        }
        assert!(rings[1].receive().is_none());
        rings[0].flush();
        let Some((WorkerId(0), Parcel::Messages(messages))) = rings[1].receive() else {
            panic!("no parcel");
        };
        let layers: Vec<_> = messages
            .iter()
            .map(|message| match message {
                RingMessage::Keyframe { layer, .. } => *layer,
                _ => u8::MAX,
            })
            .collect();
        assert_eq!(layers, [0, 1, 2]);
        assert!(rings[1].receive().is_none());
    }

    #[test]
    fn raw_datagrams_keep_their_path_and_bytes() {
        let (_, mut rings) = rings(2);
        let arrival = Instant::now();
        let remote = SocketAddr::from(([192, 0, 2, 1], 9));
        for (local, text) in [(0, "one"), (3, "three")] {
            let data = &mut text.as_bytes().to_vec();
            let datagram = Datagram { local, remote, protocol: Protocol::Udp, data };
            rings[1].push_raw(WorkerId(0), &datagram, arrival);
        }
        rings[1].flush();
        let Some((WorkerId(1), Parcel::Datagrams(mut batch))) = rings[0].receive() else {
            panic!("no parcel");
        };
        let got: Vec<_> =
            batch.datagrams().map(|each| (each.local, each.remote, each.data.to_vec())).collect();
        assert_eq!(got, [(0, remote, b"one".to_vec()), (3, remote, b"three".to_vec())]);
    }

    #[test]
    fn a_full_peer_costs_its_own_messages_only() {
        let (_, mut rings) = rings(3);
        for _ in 0..MAX_PARCELS + 5 {
            rings[0].push(WorkerId(1), keyframe(0));
            rings[0].flush();
        }
        assert_eq!(rings[0].dropped, 5);
        rings[0].push(WorkerId(2), keyframe(0));
        rings[0].flush();
        assert!(rings[2].receive().is_some());
        assert_eq!(rings[0].dropped, 5);
    }

    #[test]
    fn only_a_sleeper_is_woken_by_a_system_call() {
        let (wakers, mut rings) = rings(2);
        let mut poller = crate::udp::Poller::new().unwrap();
        poller.watch(wakers[1].event().raw_fd(), 0).unwrap();
        rings[0].push(WorkerId(1), keyframe(0));
        rings[0].flush();
        poller.wait(Some(std::time::Duration::ZERO)).unwrap();
        assert!(poller.ready(0).is_none());
        wakers[1].doze();
        rings[0].push(WorkerId(1), keyframe(0));
        rings[0].flush();
        poller.wait(None).unwrap();
        assert!(poller.ready(0).is_some());
    }
}
