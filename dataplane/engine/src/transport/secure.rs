//! DTLS of one transport, up to the moment when its keys may be used.
//!
//! The handshake runs as soon as the peer wants it; what it agreed is held back until the
//! certificate has been compared with the fingerprints from signaling (RFC 8122, section 6.2).

use std::collections::VecDeque;
use std::time::Instant;

use airside_dtls::{
    CloseReason as DtlsClose, Dtls, DtlsEvent, Fingerprint, HashKind, Identity, Role as DtlsRole,
    SrtpKeying,
};

use crate::command::Role;
use crate::error::DropReason;
use crate::event::CloseReason;

/// Handshake datagrams that wait for their turn. JVB keeps 50; a flight of ours or of a browser
/// is at most six, and retransmissions come from a timer.
const MAX_BACKLOG: usize = 16;
/// Data records that came before the fingerprint did: the first SCTP packets.
const MAX_EARLY_RECORDS: usize = 8;

/// What became of DTLS.
#[derive(Debug)]
pub(crate) enum SecureEvent {
    /// The peer is who signaling says; keys for SRTP, unless only data was agreed.
    Verified(Option<SrtpKeying>),
    /// One record of application data from the verified peer.
    Data(Vec<u8>),
    /// It is over.
    Closed(CloseReason),
}

/// Handshake, comparison, records.
#[derive(Debug)]
pub(crate) struct Secure {
    role: Role,
    dtls: Option<Box<Dtls>>,
    backlog: VecDeque<Vec<u8>>,
    /// From signaling; `None` until it has spoken.
    fingerprints: Option<Vec<Fingerprint>>,
    /// The handshake is done, the comparison not.
    unverified: Option<Option<SrtpKeying>>,
    early: VecDeque<Vec<u8>>,
    verified: bool,
    /// Refusals of the association that were counted already.
    rejected: u32,
    events: VecDeque<SecureEvent>,
}

impl Secure {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            dtls: None,
            backlog: VecDeque::new(),
            fingerprints: None,
            unverified: None,
            early: VecDeque::new(),
            verified: false,
            rejected: 0,
            events: VecDeque::new(),
        }
    }

    /// Which side of the handshake is ours; has no effect once it has begun.
    pub(crate) fn set_active(&mut self, active: bool) {
        if self.dtls.is_none() {
            self.role = if active { Role::Client } else { Role::Server };
        }
    }

    /// The first message is ours.
    pub(crate) fn is_active(&self) -> bool {
        self.role == Role::Client
    }

    /// The peer is verified: keys and records may be used.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether records cost little now: no public-key operation can follow.
    pub(crate) fn is_connected(&self) -> bool {
        self.dtls.as_ref().is_some_and(|dtls| dtls.is_connected())
    }

    /// Keeps a handshake datagram for [`Secure::work`]. True if it is the first one waiting.
    ///
    /// # Errors
    /// Too many wait already.
    pub(crate) fn enqueue(&mut self, datagram: &[u8]) -> Result<bool, DropReason> {
        if self.backlog.len() >= MAX_BACKLOG {
            return Err(DropReason::DtlsBacklogFull);
        }
        self.backlog.push_back(datagram.to_vec());
        Ok(self.backlog.len() == 1)
    }

    /// Runs the handshake on what waits. Costs up to a millisecond.
    pub(crate) fn work(&mut self, identity: &Identity, now: Instant) {
        if self.begin(identity, now) {
            while let Some(datagram) = self.backlog.pop_front() {
                self.feed(&datagram, now);
            }
        }
    }

    /// Starts the association: a client sends its hello. False if OpenSSL could not.
    pub(crate) fn begin(&mut self, identity: &Identity, now: Instant) -> bool {
        if self.dtls.is_some() {
            return true;
        }
        let role = match self.role {
            Role::Server => DtlsRole::Server,
            Role::Client => DtlsRole::Client,
        };
        match Dtls::new(identity, role, now) {
            Ok(dtls) => self.dtls = Some(Box::new(dtls)),
            Err(_) => self.events.push_back(SecureEvent::Closed(CloseReason::Internal)),
        }
        self.dtls.is_some()
    }

    /// One datagram into an association past its handshake, or out of the backlog. True if it
    /// held data, which only the verified peer can have sent.
    pub(crate) fn feed(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Some(dtls) = &mut self.dtls else { return false };
        // What ended it is told by its event; what was refused by `take_rejected`.
        let _ = dtls.handle_datagram(datagram, now);
        let before = self.events.len();
        self.drain();
        self.events.len() > before
    }

    /// How many records and hellos were refused since the last call.
    pub(crate) fn take_rejected(&mut self) -> u32 {
        let stats = self.dtls.as_ref().map(|dtls| dtls.stats()).unwrap_or_default();
        let refused = stats.dropped_records.saturating_add(stats.restarts);
        refused - std::mem::replace(&mut self.rejected, refused)
    }

    /// Retransmits and gives up, both when due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
            self.drain();
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.dtls.as_ref().and_then(|dtls| dtls.poll_timeout())
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.dtls.as_mut().and_then(|dtls| dtls.poll_transmit())
    }

    pub(crate) fn poll_event(&mut self) -> Option<SecureEvent> {
        self.events.pop_front()
    }

    /// One record of application data. False if there is no association to send it by.
    pub(crate) fn send(&mut self, data: &[u8]) -> bool {
        self.verified && self.dtls.as_mut().is_some_and(|dtls| dtls.send(data).is_ok())
    }

    /// Leaves a close_notify for `poll_transmit`.
    pub(crate) fn close(&mut self) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close();
        }
    }

    /// The fingerprints that signaling gives; unknown hash functions are passed over. A set with
    /// none left matches no certificate.
    pub(crate) fn set_fingerprints(&mut self, given: &[(String, Vec<u8>)]) {
        const HASHES: [HashKind; 3] = [HashKind::Sha256, HashKind::Sha384, HashKind::Sha512];
        let known = given.iter().filter_map(|(name, bytes)| {
            let hash = HASHES.into_iter().find(|hash| hash.name() == name)?;
            Fingerprint::new(hash, bytes).ok()
        });
        self.fingerprints = Some(known.collect());
        self.verify();
    }

    fn drain(&mut self) {
        while let Some(event) = self.dtls.as_mut().and_then(|dtls| dtls.poll_event()) {
            match event {
                DtlsEvent::Connected { srtp } => {
                    self.unverified = Some(srtp);
                    self.verify();
                }
                DtlsEvent::Data(data) if self.verified => {
                    self.events.push_back(SecureEvent::Data(data));
                }
                DtlsEvent::Data(data) => {
                    if self.early.len() < MAX_EARLY_RECORDS {
                        self.early.push_back(data);
                    }
                }
                DtlsEvent::Closed(reason) => {
                    let reason = match reason {
                        DtlsClose::Peer => CloseReason::PeerClosed,
                        DtlsClose::HandshakeFailed => CloseReason::HandshakeFailed,
                        DtlsClose::Timeout => CloseReason::HandshakeTimeout,
                        DtlsClose::Local => CloseReason::Removed,
                    };
                    self.events.push_back(SecureEvent::Closed(reason));
                }
            }
        }
    }

    /// Compares once both sides of the comparison are there.
    fn verify(&mut self) {
        let (Some(known), Some(dtls)) = (&self.fingerprints, &self.dtls) else { return };
        let Some(keying) = self.unverified.take() else { return };
        let matches =
            known.iter().any(|known| dtls.peer_fingerprint(known.hash()).as_ref() == Some(known));
        if !matches {
            self.early.clear();
            self.events.push_back(SecureEvent::Closed(CloseReason::FingerprintMismatch));
            return;
        }
        self.verified = true;
        self.events.push_back(SecureEvent::Verified(keying));
        self.events.extend(self.early.drain(..).map(SecureEvent::Data));
    }
}
