//! How a transport comes up: checks prove addresses, addresses may shake hands, the handshake's
//! keys are used once the certificate is the one in signaling.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use airside_dtls::SrtpKeying;
use rand::Rng;

use crate::command::{AddTransport, IceCredentials, Role, SetRemote};
use crate::engine::Engine;
use crate::error::DropReason;
use crate::event::{CloseReason, TransportState};
use crate::ice::{IceChange, IceState};
use crate::ids::TransportId;
use crate::net::Tuple;
use crate::stun::{Class, Message};
use crate::transport::{Agent, HANDSHAKE_TIMEOUT, SecureEvent, Transport};

/// From connection to the first report about what the peer publishes.
const FIRST_RECEIVER_REPORT: Duration = Duration::from_millis(500);

impl Engine {
    pub(crate) fn add_transport(&mut self, spec: &AddTransport, now: Instant) {
        const COMMAND: &str = "AddTransport";
        let id = spec.transport;
        if self.names.transports.contains_key(&id) {
            return;
        }
        if let Some(path) = spec.local_path {
            return self.add_local_transport(spec, Tuple::local(path), now);
        }
        let entry = self.transports.vacant_entry();
        let key = entry.key();
        if !self.routes.add_ufrag(&spec.local.ufrag, key) {
            self.out.events.failed(COMMAND, id.0, "ufrag is in use");
            return;
        }
        if spec.role == Role::Client && !self.routes.add_socket(spec.socket, key) {
            self.routes.remove_ufrag(&spec.local.ufrag, key);
            self.out.events.failed(COMMAND, id.0, "socket is in use");
            return;
        }
        entry.insert(Transport::new(spec, self.random.next_u64(), now));
        self.names.transports.insert(id, key);
        self.arm_transport(key);
    }

    pub(crate) fn set_remote(&mut self, remote: &SetRemote, now: Instant) {
        let Some(key) = self.transport_named(remote.transport, "SetRemote") else { return };
        let transport = &mut self.transports[key];
        if let Agent::Client(client) = &mut transport.agent {
            for address in &remote.candidates {
                client.add_candidate(*address, now);
            }
            if let Some(ice) = &remote.ice {
                client.set_remote(ice.clone(), now);
            }
        }
        if let Some(active) = remote.dtls_active {
            transport.secure.set_active(active);
        }
        transport.secure.set_fingerprints(&remote.fingerprints);
        transport.set_remote(remote);
        let checked = transport.handshake_deadline.is_some() && !transport.is_local();
        if checked && transport.secure.is_active() {
            // Its checks came before its description.
            transport.secure.begin(&self.identity, now);
        }
        self.after_secure(key, now);
        if self.transports.contains(key) {
            self.begin_channels(key, now);
        }
    }

    pub(crate) fn add_candidate(&mut self, id: TransportId, address: SocketAddr, now: Instant) {
        let Some(key) = self.transport_named(id, "AddRemoteCandidate") else { return };
        if let Agent::Client(client) = &mut self.transports[key].agent {
            client.add_candidate(address, now);
        }
        self.arm_transport(key);
    }

    pub(crate) fn restart_ice(&mut self, id: TransportId, local: IceCredentials) {
        const COMMAND: &str = "RestartIce";
        let Some(key) = self.transport_named(id, COMMAND) else { return };
        if self.transports[key].is_local() {
            // Nothing is checked there, and nobody else may begin to.
            return;
        }
        if !self.routes.add_ufrag(&local.ufrag, key) {
            self.out.events.failed(COMMAND, id.0, "ufrag is in use");
            return;
        }
        if let Some(ended) = self.transports[key].agent.restart(local) {
            self.routes.remove_ufrag(&ended, key);
        }
    }

    /// A STUN message: a check of a peer, or the answer to one of ours.
    pub(crate) fn handle_stun(
        &mut self,
        tuple: Tuple,
        data: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let message = Message::parse(data).map_err(|_| DropReason::StunMalformed)?;
        match message.class() {
            Class::Request => self.handle_check(tuple, &message, data.len(), now),
            Class::Success | Class::Error => self.handle_check_answer(tuple, &message, now),
            Class::Indication => Err(DropReason::StunUnexpected),
        }
    }

    /// By ufrag always, never by address: the address may have been another session's.
    fn handle_check(
        &mut self,
        tuple: Tuple,
        message: &Message<'_>,
        len: usize,
        now: Instant,
    ) -> Result<(), DropReason> {
        let (ufrag, _) = message.ufrags().ok_or(DropReason::StunUnknownUfrag)?;
        let key = self.routes.by_ufrag(ufrag).ok_or(DropReason::StunUnknownUfrag)?;
        let mut reply = std::mem::take(&mut self.scratch);
        reply.clear();
        let outcome = match &mut self.transports[key].agent {
            Agent::Responder(agent) => {
                agent.handle_request(ufrag, tuple, message, len, now, &mut reply)
            }
            Agent::Client(agent) => {
                agent.handle_request(tuple, message, &mut reply).map(|()| IceChange::default())
            }
            Agent::Local(_) => Err(DropReason::StunUnknownUfrag),
        };
        if !reply.is_empty() {
            self.out.arena.push(tuple, &reply);
        }
        self.scratch = reply;
        self.after_ice(key, outcome?, now);
        Ok(())
    }

    /// Answers carry no ufrag: the socket says whose check it was, the transaction id which.
    fn handle_check_answer(
        &mut self,
        tuple: Tuple,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let key = self.routes.by_socket(tuple.local).ok_or(DropReason::StunUnexpected)?;
        let Agent::Client(agent) = &mut self.transports[key].agent else {
            return Err(DropReason::StunUnexpected);
        };
        let change = agent.handle_response(tuple, message, now)?;
        self.after_ice(key, change, now);
        Ok(())
    }

    /// Brings address tables, send path and state up to what the agent found out.
    pub(crate) fn after_ice(&mut self, key: usize, change: IceChange, now: Instant) {
        if let Some(tuple) = change.validated {
            self.routes.add_addr(tuple, key);
            self.tell_address(tuple, true);
        }
        if let Some(tuple) = change.evicted
            && self.routes.remove_addr(tuple, key)
        {
            self.tell_address(tuple, false);
        }
        if let Some(ufrag) = change.retired {
            self.routes.remove_ufrag(&ufrag, key);
        }
        let transport = &mut self.transports[key];
        if let Some(tuple) = change.selected {
            transport.take_path(tuple);
        }
        match change.state {
            Some(IceState::Expired) => return self.close(key, CloseReason::ConsentExpired, now),
            Some(IceState::Disconnected) => self.tell_state(key, TransportState::Disconnected),
            Some(IceState::Connected | IceState::Completed) => self.ice_connected(key, now),
            Some(IceState::New) | None => {}
        }
        self.arm_transport(key);
    }

    fn ice_connected(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        let secured = transport.secure.is_verified();
        if !secured {
            transport.handshake_deadline.get_or_insert(now + HANDSHAKE_TIMEOUT);
        }
        if transport.secure.is_active() && transport.secure.begin(&self.identity, now) {
            self.after_secure(key, now);
        }
        let state = if secured { TransportState::Connected } else { TransportState::IceConnected };
        self.tell_state(key, state);
    }

    /// A DTLS datagram from an address that passed a check of this transport.
    ///
    /// Handshakes wait for their turn, so that a thousand at once do not hold up media.
    pub(crate) fn handle_dtls(
        &mut self,
        key: usize,
        tuple: Tuple,
        data: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let transport = &mut self.transports[key];
        if !transport.secure.is_connected() {
            if transport.secure.enqueue(data)? {
                self.handshakes.push_back(key);
            }
            return Ok(());
        }
        if transport.secure.feed(data, now)
            && let Some(selected) = transport.agent.on_media(tuple, now)
        {
            transport.take_path(selected);
        }
        self.after_secure(key, now);
        Ok(())
    }

    /// Goes on with a few of the waiting handshakes.
    pub(crate) fn work_handshakes(&mut self, count: usize, now: Instant) {
        for _ in 0..count {
            let Some(key) = self.handshakes.pop_front() else { return };
            self.contained(key, now, |engine| {
                let Some(transport) = engine.transports.get_mut(key) else { return };
                transport.secure.work(&engine.identity, now);
                engine.after_secure(key, now);
            });
        }
    }

    /// Sends what DTLS wants sent and acts on what it found out.
    pub(crate) fn after_secure(&mut self, key: usize, now: Instant) {
        let rejected = self.transports[key].secure.take_rejected();
        (0..rejected).for_each(|_| self.out.drops.count(DropReason::DtlsRejected));
        loop {
            let transport = &mut self.transports[key];
            while let Some(datagram) = transport.secure.poll_transmit() {
                self.out.send(transport.tuple, &datagram);
            }
            match transport.secure.poll_event() {
                Some(SecureEvent::Verified(keying)) => {
                    transport.handshake_deadline = None;
                    self.secured(key, keying, now);
                }
                Some(SecureEvent::Data(record)) => self.handle_sctp(key, &record, now),
                Some(SecureEvent::Closed(reason)) => return self.close(key, reason, now),
                None => break,
            }
            if !self.transports.contains(key) {
                return;
            }
        }
        self.arm_transport(key);
    }

    /// The peer is who signaling says it is: media and data may flow.
    fn secured(&mut self, key: usize, keying: Option<SrtpKeying>, now: Instant) {
        let transport = &mut self.transports[key];
        if let Some(keying) = keying
            && transport.install_keys(&keying).is_err()
        {
            return self.close(key, CloseReason::Internal, now);
        }
        self.begin(key, now);
    }

    /// Everything that waited for the transport.
    pub(crate) fn begin(&mut self, key: usize, now: Instant) {
        self.tell_state(key, TransportState::Connected);
        self.begin_receiver_reports(key, now);
        self.begin_channels(key, now);
        self.ask_for_waiting_keyframes(key, now);
    }

    /// Slots of a new subscriber were bound before it could receive: what the publisher sent since
    /// its last keyframe is of no use to it.
    fn ask_for_waiting_keyframes(&mut self, key: usize, now: Instant) {
        for at in 0..self.transports[key].slots.len() {
            let slot = &self.slots[self.transports[key].slots[at].1];
            let track = slot.bound.as_ref().map(|bound| bound.track);
            if let (Some(track), Some(layer)) = (track, slot.waits_for()) {
                self.want_keyframe(track, layer, now);
            }
        }
    }

    /// Reception is reported once there are keys to do it and tracks to report on.
    pub(crate) fn begin_receiver_reports(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        if transport.is_secured() && !transport.tracks.is_empty() {
            transport.receiver_report_at.get_or_insert(now + FIRST_RECEIVER_REPORT);
            self.arm_transport(key);
        }
    }
}
