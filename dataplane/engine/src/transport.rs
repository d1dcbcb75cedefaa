//! One ICE + DTLS + SRTP + SCTP association with a peer: its parts, and what they add up to. Of one
//! with a process beside ours only SCTP is left (`local.rs`).
//!
//! `connect.rs` brings it up, `ingress.rs` and `feedback.rs` take in what comes, `egress.rs` and
//! `reports.rs` send, `data.rs` has its channels, `close.rs` ends it.

mod agent;
mod channels;
mod local;
mod media;
mod receive;
mod secure;

pub(crate) use agent::Agent;
pub(crate) use channels::{ChannelNews, Channels};
pub(crate) use local::{Local, Record, sort};
pub(crate) use media::{MediaIn, MediaOut};
pub(crate) use receive::{Binding, Bindings};
pub(crate) use secure::{Secure, SecureEvent};

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use airside_dtls::SrtpKeying;

use crate::command::{AddTransport, Role, SetRemote};
use crate::envelope::held::Held;
use crate::error::DropReason;
use crate::event::TransportState;
use crate::ids::{RoomId, TransportId};
use crate::net::{TransmitArena, Tuple};
use crate::receive_estimate::ReceiveEstimate;
use crate::responder::RepairBudget;
use crate::rtp::{ExtensionKind, ExtensionMap, PlayoutDelay};
use crate::rtt::{Rtt, SentReports};
use crate::sender::PublisherClock;
use crate::sending::Sending;
use crate::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use crate::timers::{Wake, earliest};
use crate::twcc::Recorder;
use crate::watch::Watch;

/// From the first valid check to a finished handshake. JVB waits as long.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// What passed one transport.
#[derive(Debug, Default)]
pub(crate) struct TransportStats {
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
    /// How often another path was taken than before; more than once in a while is a flap.
    pub(crate) path_changes: u64,
    /// Transport-wide feedback of the peer: messages, and our packets by what became of them.
    pub(crate) transport_feedbacks: u64,
    pub(crate) transport_cc_received: u64,
    pub(crate) transport_cc_lost: u64,
    /// The peer's own estimate of what reaches it.
    pub(crate) remb_bps: Option<u64>,
    pub(crate) data_messages_received: u64,
    pub(crate) data_messages_sent: u64,
}

/// State of one association.
pub(crate) struct Transport {
    pub(crate) id: TransportId,
    pub(crate) room: RoomId,
    pub(crate) role: Role,
    pub(crate) agent: Agent,
    pub(crate) secure: Secure,
    /// Where to send; follows the agent's selection.
    pub(crate) tuple: Option<Tuple>,
    /// When the handshake must be done; set by the first valid check.
    pub(crate) handshake_deadline: Option<Instant>,
    pub(crate) media_in: Option<MediaIn>,
    pub(crate) media_out: Option<MediaOut>,
    pub(crate) channels: Option<Box<Channels>>,

    /// Extensions agreed on, both ways.
    pub(crate) extensions: ExtensionMap,
    /// The peer wants transport-wide feedback about what it sends.
    pub(crate) transport_cc: bool,
    /// The peer wants REMB instead.
    pub(crate) remb: bool,
    /// Data channels were agreed on.
    pub(crate) data: bool,
    /// The data channels are ours to open.
    pub(crate) opens_channels: bool,
    /// Reliable messages that wait for its channel.
    pub(crate) held: Held,
    /// Bounds of its jitter buffer, told with every picture.
    pub(crate) playout_delay: Option<[u8; 3]>,

    /// Tracks it publishes, by key.
    pub(crate) tracks: Vec<usize>,
    pub(crate) bindings: Bindings,
    pub(crate) publisher_clock: PublisherClock,
    pub(crate) arrivals: Recorder,
    pub(crate) estimate: ReceiveEstimate,
    /// Bytes received at the last REMB, and when.
    pub(crate) remb_base: (u64, Instant),

    /// Its outgoing sections: SSRC and key.
    pub(crate) slots: Vec<(u32, usize)>,
    /// Every SSRC it ever sent by: none may come back and use its numbers again.
    pub(crate) used_ssrcs: HashSet<u32>,
    /// Number of the next packet that carries a transport-wide one.
    pub(crate) next_transport_cc: u16,
    /// What is sent follows what the peer reports.
    pub(crate) limited: bool,
    /// Limits what is sent; `None`: nothing is known of the way to the peer.
    pub(crate) sending: Option<Box<Sending>>,
    pub(crate) repair: RepairBudget,
    pub(crate) rtt: Rtt,
    /// Our receiver reference times, to be answered by the peer.
    pub(crate) sent_references: SentReports,
    /// Under which SSRC we send reports and feedback.
    pub(crate) own_ssrc: u32,
    /// A stream of the peer, named in feedback about all of them: libwebrtc drops what names none.
    pub(crate) feedback_ssrc: u32,
    /// When the first slot wants a sender report.
    report_at: Option<Instant>,
    /// When reception of the peer's tracks is reported next.
    pub(crate) receiver_report_at: Option<Instant>,

    /// How good the ways to and from the peer are.
    pub(crate) watch: Watch,
    pub(crate) wake: Wake,
    /// What was told last.
    pub(crate) told: Option<TransportState>,
    pub(crate) stats: TransportStats,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("tuple", &self.tuple)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// `seed` decides about SSRC and tie-breakers.
    pub(crate) fn new(spec: &AddTransport, seed: u64, now: Instant) -> Self {
        Self {
            id: spec.transport,
            room: spec.room,
            role: spec.role,
            agent: Agent::new(spec, seed, now),
            secure: Secure::new(spec.role),
            tuple: None,
            handshake_deadline: None,
            media_in: None,
            media_out: None,
            channels: None,
            extensions: ExtensionMap::new(),
            transport_cc: false,
            remb: false,
            data: false,
            opens_channels: false,
            held: Held::default(),
            playout_delay: None,
            tracks: Vec::new(),
            bindings: Bindings::default(),
            publisher_clock: PublisherClock::default(),
            arrivals: Recorder::new(now),
            estimate: ReceiveEstimate::new(now),
            remb_base: (0, now),
            slots: Vec::new(),
            used_ssrcs: HashSet::new(),
            next_transport_cc: 1,
            limited: false,
            sending: None,
            repair: RepairBudget::new(now),
            rtt: Rtt::default(),
            sent_references: SentReports::default(),
            own_ssrc: (seed >> 32) as u32 | 1,
            feedback_ssrc: 0,
            report_at: None,
            receiver_report_at: None,
            watch: Watch::default(),
            wake: Wake::default(),
            told: None,
            stats: TransportStats::default(),
        }
    }

    /// What negotiation agreed on, the newest description as a whole.
    pub(crate) fn set_remote(&mut self, remote: &SetRemote) {
        // Towards a process beside ours there is no bandwidth to find out about.
        let network = !self.is_local();
        let measures = [ExtensionKind::TransportCc, ExtensionKind::AbsSendTime];
        let mut extensions = ExtensionMap::new().with_two_byte(remote.allow_mixed);
        for (id, kind) in &remote.extensions {
            if network || !measures.contains(kind) {
                extensions.insert(*id, *kind);
            }
        }
        self.extensions = extensions;
        self.transport_cc = remote.transport_cc && network;
        self.remb = remote.remb && network;
        self.data = remote.data;
        self.opens_channels = remote.opens_channels;
        self.limited = remote.congestion_control && self.role == Role::Server && network;
        self.playout_delay = remote.playout_delay.map(PlayoutDelay::to_bytes);
        if self.limited && self.extensions.id(ExtensionKind::TransportCc).is_some() {
            self.sending.get_or_insert_with(|| Box::new(Sending::new()));
        }
    }

    /// Keys for media, from the verified handshake: we send by our half, the peer by its own.
    pub(crate) fn install_keys(&mut self, keying: &SrtpKeying) -> Result<(), SrtpError> {
        let (ours, theirs) = if self.secure.is_active() {
            (keying.client(), keying.server())
        } else {
            (keying.server(), keying.client())
        };
        let sender = SrtpSender::new(keying.profile(), ours.0, ours.1)?;
        let receiver = SrtpReceiver::new(keying.profile(), theirs.0, theirs.1)?;
        self.media_out = Some(MediaOut::Srtp(sender));
        self.media_in = Some(MediaIn::Srtp(receiver));
        Ok(())
    }

    /// The peer is a process beside ours.
    pub(crate) fn is_local(&self) -> bool {
        self.agent.local().is_some()
    }

    /// Media and data may flow: the peer is who signaling says, and there.
    pub(crate) fn is_secured(&self) -> bool {
        self.secure.is_verified() || self.agent.local().is_some_and(Local::is_met)
    }

    /// A packet that only the peer can have made came by this path.
    #[inline]
    pub(crate) fn on_authenticated(&mut self, tuple: Tuple, len: usize, now: Instant) {
        self.stats.packets_received += 1;
        self.stats.bytes_received += len as u64;
        if let Some(selected) = self.agent.on_media(tuple, now) {
            self.take_path(selected);
        }
    }

    /// Sends on this path from now on.
    pub(crate) fn take_path(&mut self, tuple: Tuple) {
        self.stats.path_changes += u64::from(self.tuple.is_some_and(|old| old != tuple));
        self.tuple = Some(tuple);
    }

    /// Encrypts and sends a compound; nothing is sent for an empty one.
    ///
    /// # Errors
    /// No keys or no path yet.
    pub(crate) fn send_rtcp(
        &mut self,
        arena: &mut TransmitArena,
        compound: &[u8],
    ) -> Result<(), DropReason> {
        if compound.is_empty() {
            return Ok(());
        }
        let tuple = self.tuple.ok_or(DropReason::NoRoute)?;
        let media = self.media_out.as_mut().ok_or(DropReason::SrtpNoContext)?;
        let space = arena.space();
        space.get_mut(..compound.len()).ok_or(DropReason::TooBig)?.copy_from_slice(compound);
        let len = media.seal_rtcp(space, compound.len())?;
        arena.commit(tuple, len);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += len as u64;
        Ok(())
    }

    /// Sends a sender report by then.
    pub(crate) fn report_by(&mut self, at: Instant) {
        self.report_at = earliest(self.report_at, Some(at));
    }

    /// Whether sender reports are due; the caller sets the next time.
    pub(crate) fn take_report_due(&mut self, now: Instant) -> bool {
        self.report_at.take_if(|at| *at <= now).is_some()
    }

    /// When any part wants to be woken.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let connecting = earliest(self.secure.poll_timeout(), self.handshake_deadline);
        let reports = earliest(self.report_at, self.receiver_report_at);
        let reports = earliest(reports, self.watch.poll_timeout());
        let feedback = self.arrivals.poll_timeout().filter(|_| self.transport_cc);
        let channels = self.channels.as_ref().and_then(|channels| channels.poll_timeout());
        let sending = self.sending.as_ref().and_then(|sending| sending.poll_timeout());
        earliest(
            earliest(earliest(self.agent.poll_timeout(), connecting), sending),
            earliest(earliest(reports, feedback), channels),
        )
    }
}
