//! How a transport ends, and how its state is told while it lives.

use std::time::Instant;

use crate::engine::Engine;
use crate::event::{CloseReason, Event, TransportState};
use crate::ice::{IceChange, IceState};
use crate::ids::{TransportId, WorkerId};
use crate::net::{Protocol, Tuple};
use crate::ring::RingMessage;
use crate::timers::TimerKey;
use crate::transport::Agent;

impl Engine {
    pub(crate) fn remove_transport(&mut self, id: TransportId, now: Instant) {
        if let Some(key) = self.names.transports.get(&id).copied() {
            self.close(key, CloseReason::Removed, now);
        }
    }

    /// Says goodbye and forgets the transport with all that is its own.
    pub(crate) fn close(&mut self, key: usize, reason: CloseReason, _now: Instant) {
        if let Some(transport) = self.transports.get(key) {
            let (tracks, slots) = (transport.tracks.clone(), transport.slots.clone());
            tracks.into_iter().for_each(|track| self.drop_track(track));
            slots.into_iter().for_each(|(_, slot)| self.drop_slot(slot));
        }
        let Some(mut transport) = self.transports.try_remove(key) else { return };
        if reason != CloseReason::Internal {
            transport.secure.close();
            while let Some(datagram) = transport.secure.poll_transmit() {
                self.out.send(transport.tuple, &datagram);
            }
        }
        if let Some(local) = transport.agent.local().filter(|_| reason != CloseReason::PeerClosed) {
            local.say_goodbye(|tuple, data| self.out.arena.push(tuple, data));
        }
        self.names.transports.remove(&transport.id);
        self.data_tracks.forget(transport.id);
        self.timers.disarm(TimerKey::Transport(key), &mut transport.wake);
        for ufrag in transport.agent.ufrags() {
            self.routes.remove_ufrag(&ufrag, key);
        }
        if let Some(socket) = transport.agent.own_socket() {
            self.routes.remove_socket(socket, key);
        }
        for tuple in transport.agent.tuples() {
            if self.routes.remove_addr(tuple, key) {
                self.tell_address(tuple, false);
            }
        }
        self.out.events.push(Event::TransportState {
            transport: transport.id,
            state: TransportState::Closed,
            reason,
            remote: transport.tuple.and_then(|tuple| tuple.address()),
        });
    }

    /// A panic while a datagram was taken in: its sender's transport goes.
    pub(crate) fn blame_sender(&mut self, tuple: &Tuple, now: Instant) {
        if let Some(key) = self.routes.by_addr(tuple) {
            self.close(key, CloseReason::Internal, now);
        }
    }

    pub(crate) fn tell_state(&mut self, key: usize, state: TransportState) {
        let transport = &mut self.transports[key];
        if transport.told.replace(state) != Some(state) {
            self.out.events.push(Event::TransportState {
                transport: transport.id,
                state,
                reason: CloseReason::None,
                remote: transport.tuple.and_then(|tuple| tuple.address()),
            });
        }
    }

    /// Lets the other workers on the port know whose an address is.
    pub(crate) fn tell_address(&mut self, tuple: Tuple, present: bool) {
        if !self.shared_port || tuple.protocol == Protocol::Local {
            return;
        }
        let owner = self.worker;
        for worker in (0..self.worker_count).map(WorkerId).filter(|worker| *worker != owner) {
            self.out.ring(worker, RingMessage::Address { tuple, present });
        }
    }

    pub(crate) fn transport_timeout(&mut self, key: usize, now: Instant) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        transport.wake.fired();
        if transport.handshake_deadline.is_some_and(|deadline| deadline <= now) {
            return self.close(key, CloseReason::HandshakeTimeout, now);
        }
        let change = match &mut transport.agent {
            Agent::Responder(agent) => agent.handle_timeout(now),
            Agent::Client(agent) => {
                agent.handle_timeout(now, |tuple, data| self.out.arena.push(tuple, data))
            }
            Agent::Local(agent) => {
                agent.handle_timeout(now, |tuple, data| self.out.arena.push(tuple, data));
                IceChange::default()
            }
        };
        let expired = change.state == Some(IceState::Expired);
        self.after_ice(key, change, now);
        if expired {
            return;
        }
        let transport = &mut self.transports[key];
        transport.secure.handle_timeout(now);
        self.after_secure(key, now);
        if !self.transports.contains(key) {
            return;
        }
        self.send_reports(key, now);
        self.drain_pacer(key, now);
        self.allocate_if_due(key, now);
        self.end_overload(key, now);
        self.follow_hold(key, now);
        if let Some(channels) = &mut self.transports[key].channels {
            channels.handle_timeout(now);
            self.after_channels(key, now);
        }
        self.arm_transport(key);
    }
}
