//! Full ICE agent, always controlling: checks the server's candidates, nominates one, keeps
//! consent fresh (RFC 8445 sections 6 and 7, RFC 7675).
//!
//! Regular nomination: the first path that answers is nominated at once, since a server's
//! candidates differ little; a failed path is replaced by checking all of them again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use super::tuples::Paths;
use super::{DISCONNECTED_AFTER, EXPIRED_AFTER, IceChange, IceState};
use crate::command::IceCredentials;
use crate::error::DropReason;
use crate::net::{Protocol, Tuple};
use crate::stun::{
    BindingRequest, Class, ErrorCode, IceRole, MAX_MESSAGE_LEN, Message, TransactionId,
    write_binding_error, write_binding_request, write_binding_success,
};

/// Gap between two new checks, RFC 8445 section 14.2 (Ta, default).
const PACING: Duration = Duration::from_millis(50);
/// First wait for an answer; doubles. RFC 8445 section 14.3 has 500 ms for a full set of pairs;
/// with the few pairs of a server a lost first check should not cost that much.
const FIRST_RTO: Duration = Duration::from_millis(200);
/// Longest wait for an answer, so that a lossy path still gets several tries in 10 s.
const MAX_RTO: Duration = Duration::from_millis(1600);
/// Consent check on the selected path, as libwebrtc does (RFC 7675 allows 5 s).
const KEEPALIVE: Duration = Duration::from_millis(2500);
/// Wait that the selected path has grown to when the other candidates are checked again too:
/// three checks in a row unanswered.
const DOUBTFUL_RTO: Duration = MAX_RTO;
/// Remote candidates kept; a server has a handful (10 000 are an attack).
const MAX_CANDIDATES: usize = 32;
/// Peer-reflexive priority: type preference 110, local preference 65535, component 1.
/// RFC 8445, section 5.1.2.
const PRIORITY: u32 = 110 << 24 | 65_535 << 8 | 255;

/// A check under way: an answer must come from where it went, with this id.
#[derive(Debug)]
struct Check {
    id: TransactionId,
    /// Nominating checks end in a nominated path.
    nominating: bool,
}

#[derive(Debug)]
struct Pair {
    remote: SocketAddr,
    check: Option<Check>,
    /// When to send the next check.
    due: Instant,
    rto: Duration,
}

/// The agent of one transport in client role.
#[derive(Debug)]
pub(crate) struct Client {
    local: IceCredentials,
    remote: Option<IceCredentials>,
    socket: u16,
    tie_breaker: u64,
    pairs: Vec<Pair>,
    paths: Paths,
    state: IceState,
    last_consent: Instant,
    /// No new check before this (pacing).
    next_send: Instant,
    random: rand::rngs::SmallRng,
}

impl Client {
    /// An agent that sends its checks by our socket number `socket`.
    pub(crate) fn new(local: IceCredentials, socket: u16, seed: u64, now: Instant) -> Self {
        let mut random: rand::rngs::SmallRng = rand::SeedableRng::seed_from_u64(seed);
        Self {
            local,
            remote: None,
            socket,
            tie_breaker: random.next_u64(),
            pairs: Vec::new(),
            paths: Paths::default(),
            state: IceState::New,
            last_consent: now,
            next_send: now,
            random,
        }
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    pub(crate) fn socket(&self) -> u16 {
        self.socket
    }

    pub(crate) fn ufrag(&self) -> &str {
        &self.local.ufrag
    }

    /// New local credentials. Checks with them start once the remote ones change too.
    pub(crate) fn restart(&mut self, local: IceCredentials) -> Option<String> {
        if local == self.local {
            return None;
        }
        Some(std::mem::replace(&mut self.local, local).ufrag)
    }

    /// Remote credentials; other ones than before restart all checks.
    pub(crate) fn set_remote(&mut self, remote: IceCredentials, now: Instant) {
        if self.remote.as_ref() == Some(&remote) {
            return;
        }
        self.remote = Some(remote);
        self.check_all(now);
    }

    /// A remote candidate. Addresses nobody can answer from are ignored.
    pub(crate) fn add_candidate(&mut self, remote: SocketAddr, now: Instant) {
        let ip = remote.ip();
        let useless = ip.is_unspecified() || ip.is_multicast() || remote.port() == 0;
        let known = self.pairs.iter().any(|pair| pair.remote == remote);
        if useless || known || self.pairs.len() >= MAX_CANDIDATES {
            return;
        }
        self.pairs.push(Pair { remote, check: None, due: now, rto: FIRST_RTO });
    }

    fn check_all(&mut self, now: Instant) {
        for pair in &mut self.pairs {
            pair.check = None;
            pair.due = now;
            pair.rto = FIRST_RTO;
        }
    }

    fn tuple(&self, remote: SocketAddr) -> Tuple {
        Tuple { protocol: Protocol::Udp, local: self.socket, remote }
    }

    /// The answer to one of our checks.
    ///
    /// # Errors
    /// It answers no check of ours, or is not signed by the peer.
    pub(crate) fn handle_response(
        &mut self,
        tuple: Tuple,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<IceChange, DropReason> {
        if !message.fingerprint_matches() {
            return Err(DropReason::StunMalformed);
        }
        let id = message.transaction_id();
        let Some(at) = self.pairs.iter().position(|pair| {
            pair.remote == tuple.remote && pair.check.as_ref().is_some_and(|check| check.id == id)
        }) else {
            return Err(DropReason::StunUnexpected);
        };
        let key = self.remote.as_ref().map(|remote| remote.password.as_bytes());
        if !key.is_some_and(|key| message.integrity_matches(key)) {
            return Err(DropReason::StunBadIntegrity);
        }
        if !message.is_binding(Class::Success) {
            return Err(DropReason::StunUnexpected);
        }
        let nominated = self.pairs[at].check.take().is_some_and(|check| check.nominating);
        Ok(self.on_answer(at, tuple, nominated, now))
    }

    fn on_answer(&mut self, at: usize, tuple: Tuple, nominated: bool, now: Instant) -> IceChange {
        let mut change = IceChange::default();
        self.last_consent = now;
        let (new, evicted) = self.paths.on_check(tuple, PRIORITY, now);
        change.validated = new.then_some(tuple);
        change.evicted = evicted;

        let selected = self.alive().unwrap_or(tuple);
        let pair = &mut self.pairs[at];
        pair.rto = FIRST_RTO;
        // The path that is to be used is nominated at once.
        pair.due = if nominated || selected != tuple { now + KEEPALIVE } else { now };

        if self.paths.selected() != Some(selected) {
            self.paths.select(selected);
            change.selected = Some(selected);
        }
        let state = match self.state {
            IceState::Expired => IceState::Expired,
            IceState::Completed => IceState::Completed,
            _ if nominated => IceState::Completed,
            _ => IceState::Connected,
        };
        if state != self.state {
            self.state = state;
            change.state = Some(state);
        }
        change
    }

    /// Answers a check of a peer that is a full agent too. It proves nothing to us that our own
    /// checks do not, so it changes nothing.
    ///
    /// # Errors
    /// The request is not from our peer.
    pub(crate) fn handle_request(
        &mut self,
        tuple: Tuple,
        message: &Message<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        if !message.fingerprint_matches() {
            return Err(DropReason::StunMalformed);
        }
        let key = self.local.password.as_bytes();
        if !message.integrity_matches(key) {
            return Err(DropReason::StunBadIntegrity);
        }
        let id = message.transaction_id();
        reply.resize(MAX_MESSAGE_LEN, 0);
        let len = match message.role() {
            Some(IceRole::Controlling(_)) => {
                write_binding_error(reply, &id, ErrorCode::RoleConflict, &[], Some(key))
            }
            _ => write_binding_success(reply, &id, tuple.remote, key),
        };
        reply.truncate(len.unwrap_or(0));
        Ok(())
    }

    /// An authenticated SRTP or DTLS packet came by `tuple`.
    pub(crate) fn on_media(&mut self, tuple: Tuple, now: Instant) {
        if let Some(path) = self.paths.get_mut(tuple) {
            path.last_media = Some(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let expiry = match self.state {
            IceState::Connected | IceState::Completed => self.last_consent + DISCONNECTED_AFTER,
            IceState::New | IceState::Disconnected => self.last_consent + EXPIRED_AFTER,
            IceState::Expired => return None,
        };
        let check = self.next_pair().map(|at| self.pairs[at].due.max(self.next_send));
        Some(check.map_or(expiry, |check| check.min(expiry)))
    }

    /// Ages consent and sends at most one check, the pace of RFC 8445.
    ///
    /// `send` gets the bytes of the check and the path to send it by.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        mut send: impl FnMut(Tuple, &[u8]),
    ) -> IceChange {
        let silence = now.duration_since(self.last_consent);
        let state = match self.state {
            IceState::Expired => IceState::Expired,
            _ if silence >= EXPIRED_AFTER => IceState::Expired,
            IceState::Connected | IceState::Completed if silence >= DISCONNECTED_AFTER => {
                IceState::Disconnected
            }
            state => state,
        };
        let changed = state != self.state;
        self.state = state;
        if state != IceState::Expired
            && now >= self.next_send
            && let Some(at) = self.next_pair()
            && self.pairs[at].due <= now
        {
            self.next_send = now + PACING;
            self.send_check(at, now, &mut send);
        }
        IceChange { state: changed.then_some(state), ..IceChange::default() }
    }

    /// The pair whose check is due first, of those worth checking now.
    fn next_pair(&self) -> Option<usize> {
        self.remote.as_ref()?;
        let settled = self.alive().filter(|_| self.state == IceState::Completed);
        let (at, _) = self
            .pairs
            .iter()
            .enumerate()
            .filter(|(_, pair)| settled.is_none_or(|tuple| tuple.remote == pair.remote))
            .min_by_key(|(_, pair)| pair.due)?;
        Some(at)
    }

    /// The selected path while it answers.
    fn alive(&self) -> Option<Tuple> {
        let tuple = self.paths.selected()?;
        let pair = self.pairs.iter().find(|pair| pair.remote == tuple.remote)?;
        let works = matches!(self.state, IceState::Connected | IceState::Completed);
        (works && pair.rto < DOUBTFUL_RTO).then_some(tuple)
    }

    fn send_check(&mut self, at: usize, now: Instant, send: &mut impl FnMut(Tuple, &[u8])) {
        let Some(remote) = &self.remote else { return };
        let tuple = self.tuple(self.pairs[at].remote);
        let nominating = self.paths.selected() == Some(tuple);
        let mut id = TransactionId::default();
        self.random.fill_bytes(&mut id);
        let username = format!("{}:{}", remote.ufrag, self.local.ufrag);
        let request = BindingRequest {
            transaction_id: id,
            username: &username,
            priority: PRIORITY,
            role: IceRole::Controlling(self.tie_breaker),
            use_candidate: nominating,
            nomination: None,
        };
        let mut buffer = [0; MAX_MESSAGE_LEN];
        if let Some(len) = write_binding_request(&mut buffer, &request, remote.password.as_bytes())
        {
            send(tuple, &buffer[..len]);
        }
        let pair = &mut self.pairs[at];
        pair.check = Some(Check { id, nominating });
        pair.due = now + pair.rto;
        pair.rto = (pair.rto * 2).min(MAX_RTO);
    }
}
