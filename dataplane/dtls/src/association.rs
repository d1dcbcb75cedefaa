//! One DTLS association: handshake, data, close.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslStream};
use openssl::x509::X509;

use crate::fingerprint::{Fingerprint, HashKind};
use crate::identity::Identity;
use crate::pipe::Pipe;
use crate::records::{APPLICATION_DATA, CHACHA_OVERHEAD, GCM_OVERHEAD, Gate};
use crate::retransmit::Retransmit;
use crate::srtp::{SrtpKeying, SrtpProfile};
use crate::sys;

/// Bytes of one datagram we send. Below the 1280 of IPv6 less its headers and a tunnel's.
const MTU: u32 = 1200;
/// Longest data of one record: MTU less record header (13), explicit nonce (8) and tag (16).
pub const MAX_DATA_LEN: usize = MTU as usize - 37;
/// A handshake not done by then has failed. JVB `DtlsTransport` waits as long.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// How many unusable ClientHellos are forgiven before the handshake counts as failed.
const MAX_RESTARTS: u32 = 16;
/// Repeated last flights answered after completion. OpenSSL fails an association at 13.
const LATE_FLIGHTS: u8 = 10;
/// Exporter label of DTLS-SRTP (RFC 5764, section 4.2).
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// Which side of the handshake we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Waits for a ClientHello (`a=setup:passive`).
    Server,
    /// Sends the ClientHello as soon as it is made (`a=setup:active`).
    Client,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DtlsEvent {
    /// The peer proved to own the key of its certificate. Compare [`Dtls::peer_fingerprint`] before
    /// using what is in here.
    Connected {
        /// Keys for SRTP; `None` when the peer offered no profile of ours (data only).
        srtp: Option<SrtpKeying>,
    },
    /// One record of application data.
    Data(Vec<u8>),
    /// Over; nothing follows.
    Closed(CloseReason),
}

/// Why an association ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The peer said so: an authenticated close_notify or fatal alert.
    Peer,
    /// The peer's part in the handshake was not acceptable.
    HandshakeFailed,
    /// No complete handshake within 30 s.
    Timeout,
    /// [`Dtls::close`] was called.
    Local,
}

/// Why a call did nothing.
#[derive(Debug, thiserror::Error)]
pub enum DtlsError {
    /// Data before the handshake is done.
    #[error("DTLS handshake is not complete")]
    NotConnected,
    /// The association has ended.
    #[error("DTLS association is closed")]
    Closed,
    /// More than [`MAX_DATA_LEN`] bytes, or none.
    #[error("data does not fit into one DTLS record")]
    BadLength,
    /// The handshake failed for good; the text is OpenSSL's. The peer is wrong.
    #[error("DTLS handshake failed: {0}")]
    HandshakeFailed(String),
    /// OpenSSL refused; the text is its own. Our side is wrong.
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// What has been counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DtlsStats {
    /// Records that never reached OpenSSL, and datagrams of data that it found forged or repeated.
    pub dropped_records: u32,
    /// Flights sent again because nothing came back.
    pub retransmits: u32,
    /// ClientHellos that could not be used.
    pub restarts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Handshaking,
    Connected,
    Closed,
}

/// One association. Owns no socket and no clock; see the crate's page for the contract.
#[derive(Debug)]
pub struct Dtls {
    identity: Identity,
    stream: SslStream<Pipe>,
    state: State,
    gate: Gate,
    /// Our first flight went out: from here on a failure is the handshake's, not a stray hello's.
    answered: bool,
    retransmit: Retransmit,
    give_up_at: Instant,
    events: VecDeque<DtlsEvent>,
    /// Where OpenSSL puts decrypted data.
    scratch: Vec<u8>,
    stats: DtlsStats,
}

impl Dtls {
    /// A client has its ClientHello ready for [`Dtls::poll_transmit`] on return.
    ///
    /// # Errors
    /// OpenSSL is out of memory.
    pub fn new(identity: &Identity, role: Role, now: Instant) -> Result<Self, DtlsError> {
        let mut dtls = Self {
            identity: identity.clone(),
            stream: new_stream(identity, role)?,
            state: State::Handshaking,
            gate: Gate {
                role,
                connected: false,
                overhead: GCM_OVERHEAD,
                late_flights_left: LATE_FLIGHTS,
            },
            answered: false,
            retransmit: Retransmit::default(),
            give_up_at: now + HANDSHAKE_LIMIT,
            events: VecDeque::new(),
            scratch: Vec::new(),
            stats: DtlsStats::default(),
        };
        if role == Role::Client {
            dtls.advance_handshake(now)?;
        }
        Ok(dtls)
    }

    /// Takes one datagram in. Records that are malformed, unauthenticated or out of place are
    /// dropped and counted.
    ///
    /// # Errors
    /// `HandshakeFailed` once, when this datagram ended it; `Closed` ever after.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) -> Result<(), DtlsError> {
        if self.state == State::Closed {
            return Err(DtlsError::Closed);
        }
        let (records, dropped) = self.gate.filter(datagram);
        self.stats.dropped_records = self.stats.dropped_records.saturating_add(dropped);
        if records.is_empty() {
            return Ok(());
        }
        let (len, data) = (records.len(), records[0] == APPLICATION_DATA);
        self.stream.get_mut().inbound = Some(records);
        let outcome = match self.state {
            State::Handshaking => self.advance_handshake(now),
            State::Connected | State::Closed => Ok(()),
        };
        if self.state == State::Connected {
            let before = self.events.len();
            self.read_data(len);
            if data && self.events.len() == before {
                self.stats.dropped_records = self.stats.dropped_records.saturating_add(1);
            }
        }
        self.stream.get_mut().inbound = None;
        outcome
    }

    /// Sends the last flight again when it is due, and gives up in the end. An early call does
    /// nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state != State::Handshaking {
            return;
        }
        if now >= self.give_up_at {
            self.end(CloseReason::Timeout);
        } else if self.retransmit.expired(now) {
            clear_error_queue();
            self.stats.retransmits += 1;
            if !sys::retransmit_flight(&mut self.stream) {
                self.end(CloseReason::HandshakeFailed);
            }
            clear_error_queue();
        }
    }

    /// When to call [`Dtls::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state != State::Handshaking {
            return None;
        }
        Some(self.retransmit.deadline().map_or(self.give_up_at, |at| at.min(self.give_up_at)))
    }

    /// The next datagram to send, at most 1200 bytes.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().outbound.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }

    /// Encrypts application data into one record, for [`Dtls::poll_transmit`].
    ///
    /// # Errors
    /// `NotConnected`, `Closed`, or `BadLength`.
    pub fn send(&mut self, data: &[u8]) -> Result<(), DtlsError> {
        match self.state {
            State::Handshaking => return Err(DtlsError::NotConnected),
            State::Closed => return Err(DtlsError::Closed),
            State::Connected => {}
        }
        if data.is_empty() || data.len() > MAX_DATA_LEN {
            return Err(DtlsError::BadLength);
        }
        clear_error_queue();
        match self.stream.ssl_write(data) {
            Ok(_) => Ok(()),
            Err(error) => {
                clear_error_queue();
                Err(error.ssl_error().cloned().map_or(DtlsError::Closed, DtlsError::OpenSsl))
            }
        }
    }

    /// Says close_notify to a connected peer; its datagram is left for [`Dtls::poll_transmit`].
    pub fn close(&mut self) {
        if self.state == State::Closed {
            return;
        }
        if self.state == State::Connected {
            clear_error_queue();
            // Fails only when there is nothing to say it to.
            let _ = self.stream.shutdown();
            clear_error_queue();
        }
        self.end(CloseReason::Local);
    }

    /// Whether the handshake is done and the association not closed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// Digest of the certificate that the peer proved to own; `None` before that.
    #[must_use]
    pub fn peer_fingerprint(&self, hash: HashKind) -> Option<Fingerprint> {
        let digest = self.peer_certificate()?.digest(hash.digest()).ok()?;
        Fingerprint::new(hash, &digest).ok()
    }

    /// The certificate that the peer proved to own, as DER; `None` before that.
    #[must_use]
    pub fn peer_certificate_der(&self) -> Option<Vec<u8>> {
        self.peer_certificate()?.to_der().ok()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> DtlsStats {
        self.stats
    }

    fn peer_certificate(&self) -> Option<X509> {
        // Until the peer's Finished is in, anybody may have sent this certificate.
        self.gate.connected.then(|| self.stream.ssl().peer_certificate()).flatten()
    }

    fn advance_handshake(&mut self, now: Instant) -> Result<(), DtlsError> {
        clear_error_queue();
        let sent_before = self.stream.get_ref().outbound.len();
        let outcome = self.stream.do_handshake();
        let error = match outcome {
            Ok(()) => None,
            Err(error) if error.code() == ErrorCode::WANT_READ => None,
            Err(error) => Some(error.to_string()),
        };
        clear_error_queue();
        if let Some(text) = error {
            return self.handshake_error(text);
        }
        if self.stream.get_ref().outbound.len() > sent_before {
            self.answered = true;
            self.retransmit.arm(now);
        }
        if self.stream.ssl().is_init_finished() {
            self.connected()?;
        }
        Ok(())
    }

    fn connected(&mut self) -> Result<(), DtlsError> {
        self.state = State::Connected;
        self.gate.connected = true;
        let cipher = self.stream.ssl().current_cipher().map_or("", |cipher| cipher.name());
        if cipher.contains("CHACHA20") {
            self.gate.overhead = CHACHA_OVERHEAD;
        }
        self.retransmit.disarm();
        let srtp = self.export_srtp()?;
        self.events.push_back(DtlsEvent::Connected { srtp });
        Ok(())
    }

    fn export_srtp(&self) -> Result<Option<SrtpKeying>, DtlsError> {
        let ssl = self.stream.ssl();
        let Some(profile) = ssl
            .selected_srtp_profile()
            .and_then(|selected| SrtpProfile::from_openssl_name(selected.name()))
        else {
            return Ok(None);
        };
        let mut material = vec![0; profile.keying_len()];
        ssl.export_keying_material(&mut material, EXPORTER_LABEL, None)?;
        Ok(Some(SrtpKeying::new(profile, material)))
    }

    /// A hello that cannot be used may be anybody's, as long as we have not answered one: start
    /// afresh in silence, so that the real peer still finds us willing.
    fn handshake_error(&mut self, text: String) -> Result<(), DtlsError> {
        if self.gate.role == Role::Server && !self.answered && self.stats.restarts < MAX_RESTARTS {
            self.stats.restarts += 1;
            self.stream = new_stream(&self.identity, Role::Server)?;
            return Ok(());
        }
        self.end(CloseReason::HandshakeFailed);
        Err(DtlsError::HandshakeFailed(text))
    }

    fn read_data(&mut self, longest: usize) {
        if self.scratch.len() < longest {
            self.scratch.resize(longest, 0);
        }
        loop {
            clear_error_queue();
            let outcome = self.stream.ssl_read(&mut self.scratch);
            let code = outcome.as_ref().err().map(openssl::ssl::Error::code);
            clear_error_queue();
            match (outcome, code) {
                (Ok(len), _) => {
                    self.events.push_back(DtlsEvent::Data(self.scratch[..len].to_vec()));
                }
                (Err(_), Some(ErrorCode::WANT_READ)) => return,
                // OpenSSL drops what it cannot authenticate; what ends it came from the peer.
                (Err(_), _) => return self.end(CloseReason::Peer),
            }
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.retransmit.disarm();
        self.events.push_back(DtlsEvent::Closed(reason));
    }
}

fn new_stream(identity: &Identity, role: Role) -> Result<SslStream<Pipe>, ErrorStack> {
    let mut ssl = Ssl::new(match role {
        Role::Server => identity.server_context(),
        Role::Client => identity.client_context(),
    })?;
    match role {
        Role::Server => ssl.set_accept_state(),
        Role::Client => ssl.set_connect_state(),
    }
    ssl.set_mtu(MTU)?;
    sys::disable_timer(&ssl);
    SslStream::new(ssl, Pipe::default())
}

/// OpenSSL keeps errors per thread and reads old ones as those of the next call, whichever
/// association that belongs to.
fn clear_error_queue() {
    let _ = ErrorStack::get();
}
