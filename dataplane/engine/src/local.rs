//! Transports to processes beside ours: see `transport/local.rs`.

use std::time::Instant;

use rand::Rng;

use crate::command::AddTransport;
use crate::engine::Engine;
use crate::error::DropReason;
use crate::event::{CloseReason, Event, TransportState};
use crate::net::{Protocol, Tuple};
use crate::transport::{Agent, HANDSHAKE_TIMEOUT, MediaIn, MediaOut, Record, Transport, sort};

impl Engine {
    /// The ring is gone, or its other side does not keep to its rules (`broken`): so are its transports.
    pub fn handle_local_ring_closed(&mut self, ring: u16, broken: bool, now: Instant) {
        self.now = now;
        let on_ring = |transport: &Transport| {
            transport.agent.local().is_some_and(|local| local.tuple().local == ring)
        };
        let gone = self.transports.iter().filter(|(_, transport)| on_ring(transport));
        let gone: Vec<usize> = gone.map(|(key, _)| key).collect();
        gone.into_iter().for_each(|key| self.close(key, CloseReason::PeerClosed, now));
        self.out.events.push(Event::LocalRingClosed { ring, broken });
    }

    /// Checks and routes of a transport that has a path of its own, in place of those by ICE.
    pub(crate) fn add_local_transport(&mut self, spec: &AddTransport, tuple: Tuple, now: Instant) {
        if self.routes.by_addr(&tuple).is_some() {
            self.out.events.failed("AddTransport", spec.transport.0, "route is in use");
            return;
        }
        let seed = self.random.next_u64();
        let mut transport = Transport::new(spec, seed, now);
        transport.tuple = Some(tuple);
        transport.handshake_deadline = Some(now + HANDSHAKE_TIMEOUT);
        let key = self.transports.insert(transport);
        self.routes.add_addr(tuple, key);
        self.names.transports.insert(spec.transport, key);
        self.arm_transport(key);
    }

    /// One record of a local ring.
    pub(crate) fn receive_local(
        &mut self,
        tuple: Tuple,
        data: &mut [u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        debug_assert_eq!(tuple.protocol, Protocol::Local);
        let key = self.routes.by_addr(&tuple).ok_or(DropReason::UnknownAddress)?;
        match sort(data)? {
            Record::Rtp => self.receive_rtp(key, tuple, data, now),
            Record::Rtcp => self.receive_rtcp(key, tuple, data, now),
            Record::Sctp => {
                let transport = &mut self.transports[key];
                if !transport.is_secured() {
                    return Err(DropReason::SctpRejected);
                }
                transport.on_authenticated(tuple, data.len(), now);
                self.handle_sctp(key, data, now);
                Ok(())
            }
            Record::Hello => {
                let Agent::Local(local) = &mut self.transports[key].agent else {
                    return Err(DropReason::UnknownAddress);
                };
                if local.on_hello(|tuple, data| self.out.arena.push(tuple, data)) {
                    self.meet(key, now);
                }
                self.arm_transport(key);
                Ok(())
            }
            Record::Goodbye => {
                self.close(key, CloseReason::PeerClosed, now);
                Ok(())
            }
        }
    }

    /// Both processes have the transport: media and data may flow.
    fn meet(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        transport.handshake_deadline = None;
        transport.media_in = Some(MediaIn::Plain);
        transport.media_out = Some(MediaOut::Plain);
        self.tell_state(key, TransportState::IceConnected);
        self.begin(key, now);
    }
}
