//! ICE-lite, controlled: answers checks and picks the path to send on (RFC 8445 appendix A).
//!
//! | state        | valid check            | with USE-CANDIDATE, or a greater NOMINATION         |
//! |--------------|------------------------|-----------------------------------------------------|
//! | New          | select, Connected      | select, Completed                                   |
//! | Connected    | remember the path      | select, Completed                                   |
//! | Completed    | remember the path      | greater NOMINATION: select. Plain USE-CANDIDATE:    |
//! |              |                        | only if the selected path is silent, or a better    |
//! |              |                        | path already carries media (aggressive nomination   |
//! |              |                        | would flap otherwise)                               |
//! | Disconnected | select, Connected      | select, Completed                                   |
//!
//! Any valid check on any path is consent. So is an authenticated packet from a checked address: RFC
//! 7675 would have checks alone, but libnice sends none after it has connected (keepalives are
//! indications), and who holds the SRTP keys at that address has not gone away. Media on another checked path moves the selection there
//! once the selected path carries none (a phone that changed networks without renomination).

use std::time::{Duration, Instant};

use super::tuples::Paths;
use super::{DISCONNECTED_AFTER, EXPIRED_AFTER, IceChange, IceState};
use crate::command::IceCredentials;
use crate::error::DropReason;
use crate::net::Tuple;
use crate::stun::{
    Class, ErrorCode, IceRole, MAX_MESSAGE_LEN, Message, write_binding_error, write_binding_success,
};

/// A selected path silent for this long may be left at a plain USE-CANDIDATE: more than two check
/// intervals of every known client.
const PATH_SILENT_AFTER: Duration = Duration::from_secs(3);
/// The selected path carried no media for this long while another does: the peer has moved.
/// Longer than reordering between two paths, shorter than anyone waits.
const MEDIA_MOVED_AFTER: Duration = Duration::from_millis(200);
/// Negative answers per second and transport; beyond it requests are only counted, so that a
/// guessed ufrag is no way to make us send.
const MAX_ERRORS_PER_S: u32 = 20;

/// The agent of one transport in server role.
#[derive(Debug)]
pub(crate) struct Responder {
    local: IceCredentials,
    /// Valid until the first valid check with `local` (restart).
    previous: Option<IceCredentials>,
    paths: Paths,
    state: IceState,
    /// Greatest NOMINATION accepted since the last restart.
    nomination: Option<u32>,
    last_consent: Instant,
    errors_since: Instant,
    errors: u32,
}

impl Responder {
    pub(crate) fn new(local: IceCredentials, now: Instant) -> Self {
        Self {
            local,
            previous: None,
            paths: Paths::default(),
            state: IceState::New,
            nomination: None,
            last_consent: now,
            errors_since: now,
            errors: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> IceState {
        self.state
    }

    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Ufrags under which checks for this agent come.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.previous.iter().chain([&self.local]).map(|credentials| credentials.ufrag.as_str())
    }

    /// Credentials of a new generation; returns a ufrag that ends at once (two restarts in a row).
    pub(crate) fn restart(&mut self, local: IceCredentials) -> Option<String> {
        if local == self.local {
            return None;
        }
        let used = std::mem::replace(&mut self.local, local);
        self.previous.replace(used).map(|oldest| oldest.ufrag)
    }

    /// Answers a request whose USERNAME begins with `ufrag`, one of [`Responder::ufrags`].
    ///
    /// `reply` is left empty or holds one message for the sender, never longer than the request.
    ///
    /// # Errors
    /// Why the request proved nothing. There may be a (negative) reply all the same.
    pub(crate) fn handle_request(
        &mut self,
        ufrag: &str,
        tuple: Tuple,
        message: &Message<'_>,
        request_len: usize,
        now: Instant,
        reply: &mut Vec<u8>,
    ) -> Result<IceChange, DropReason> {
        if !message.fingerprint_matches() {
            return Err(DropReason::StunMalformed);
        }
        if !message.is_binding(Class::Request) {
            return Err(DropReason::StunUnexpected);
        }
        let fresh = ufrag == self.local.ufrag;
        let credentials = match &self.previous {
            _ if fresh => &self.local,
            Some(previous) if previous.ufrag == ufrag => previous,
            _ => return Err(DropReason::StunUnknownUfrag),
        };
        let key = credentials.password.clone();
        if !message.has_integrity() {
            return self.refuse(message, ErrorCode::BadRequest, None, request_len, now, reply);
        }
        if !message.integrity_matches(key.as_bytes()) {
            return self.refuse(message, ErrorCode::Unauthenticated, None, request_len, now, reply);
        }
        let key = key.as_bytes();
        if !message.unknown_attributes().is_empty() {
            let code = ErrorCode::UnknownAttribute;
            return self.refuse(message, code, Some(key), request_len, now, reply);
        }
        let Some(priority) = message.priority() else {
            let code = ErrorCode::BadRequest;
            return self.refuse(message, code, Some(key), request_len, now, reply);
        };
        if let Some(IceRole::Controlled(_)) = message.role() {
            let code = ErrorCode::RoleConflict;
            return self.refuse(message, code, Some(key), request_len, now, reply);
        }
        reply.resize(MAX_MESSAGE_LEN, 0);
        let id = message.transaction_id();
        let len = write_binding_success(reply, &id, tuple.remote, key).unwrap_or(0);
        reply.truncate(len);
        Ok(self.on_valid_check(tuple, message, priority, fresh, now))
    }

    /// A valid check: consent, a usable path, perhaps a nomination.
    fn on_valid_check(
        &mut self,
        tuple: Tuple,
        message: &Message<'_>,
        priority: u32,
        fresh: bool,
        now: Instant,
    ) -> IceChange {
        let mut change = IceChange::default();
        self.last_consent = now;
        if fresh && let Some(previous) = self.previous.take() {
            change.retired = Some(previous.ufrag);
            // The peer nominates anew; until then the old path stays.
            self.nomination = None;
            if self.state == IceState::Completed {
                self.state = IceState::Connected;
            }
        }
        let (new, evicted) = self.paths.on_check(tuple, priority, now);
        change.validated = new.then_some(tuple);
        change.evicted = evicted;

        let nominated = self.nominates(tuple, message, now);
        let select = match self.state {
            IceState::New | IceState::Disconnected => true,
            IceState::Connected | IceState::Completed => nominated,
            IceState::Expired => false,
        };
        let state = match self.state {
            IceState::Expired => IceState::Expired,
            IceState::Completed => IceState::Completed,
            _ if nominated => IceState::Completed,
            _ => IceState::Connected,
        };
        if select && self.paths.selected() != Some(tuple) {
            self.paths.select(tuple);
            change.selected = Some(tuple);
        }
        if state != self.state {
            self.state = state;
            change.state = Some(state);
        }
        change
    }

    /// Whether this check asks for its path, by a rule that two alternating paths cannot abuse.
    fn nominates(&mut self, tuple: Tuple, message: &Message<'_>, now: Instant) -> bool {
        if let Some(value) = message.nomination() {
            let greater = self.nomination.is_none_or(|last| value > last);
            if greater {
                self.nomination = Some(value);
            }
            return greater;
        }
        if !message.use_candidate() {
            return false;
        }
        let (Some(selected), Some(path)) = (self.paths.selected_path(), self.paths.get(tuple))
        else {
            return true;
        };
        if self.state != IceState::Completed || selected.tuple == tuple {
            return true;
        }
        let silent = now.duration_since(selected.last_seen) >= PATH_SILENT_AFTER;
        let better = path.priority > selected.priority && path.last_media.is_some();
        silent || better
    }

    /// An authenticated SRTP or DTLS packet came by `tuple`, which passed a check before.
    /// Returns the path to send on if it moved.
    pub(crate) fn on_media(&mut self, tuple: Tuple, now: Instant) -> Option<Tuple> {
        let path = self.paths.get_mut(tuple)?;
        path.last_seen = now;
        path.last_media = Some(now);
        self.last_consent = now;
        let selected = self.paths.selected_path()?;
        if selected.tuple == tuple {
            return None;
        }
        let moved =
            selected.last_media.is_none_or(|last| now.duration_since(last) >= MEDIA_MOVED_AFTER);
        if moved {
            self.paths.select(tuple);
        }
        moved.then_some(tuple)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            IceState::Connected | IceState::Completed => {
                Some(self.last_consent + DISCONNECTED_AFTER)
            }
            IceState::New | IceState::Disconnected => Some(self.last_consent + EXPIRED_AFTER),
            IceState::Expired => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> IceChange {
        let silence = now.duration_since(self.last_consent);
        let state = match self.state {
            IceState::Expired => IceState::Expired,
            _ if silence >= EXPIRED_AFTER => IceState::Expired,
            IceState::Connected | IceState::Completed if silence >= DISCONNECTED_AFTER => {
                IceState::Disconnected
            }
            IceState::Disconnected if silence < DISCONNECTED_AFTER => IceState::Connected,
            state => state,
        };
        let changed = state != self.state;
        self.state = state;
        IceChange { state: changed.then_some(state), ..IceChange::default() }
    }

    fn refuse(
        &mut self,
        message: &Message<'_>,
        code: ErrorCode,
        key: Option<&[u8]>,
        request_len: usize,
        now: Instant,
        reply: &mut Vec<u8>,
    ) -> Result<IceChange, DropReason> {
        if now.duration_since(self.errors_since) >= Duration::from_secs(1) {
            self.errors_since = now;
            self.errors = 0;
        }
        self.errors += 1;
        if self.errors > MAX_ERRORS_PER_S {
            return Err(DropReason::StunRateLimited);
        }
        let unknown = match code {
            ErrorCode::UnknownAttribute => message.unknown_attributes().as_slice(),
            _ => &[],
        };
        reply.resize(MAX_MESSAGE_LEN, 0);
        let id = message.transaction_id();
        let len = write_binding_error(reply, &id, code, unknown, key).unwrap_or(0);
        reply.truncate(if len <= request_len { len } else { 0 });
        Err(match code {
            ErrorCode::Unauthenticated => DropReason::StunBadIntegrity,
            _ => DropReason::StunUnexpected,
        })
    }
}
