//! One datagram's way in, top to bottom.

use std::time::Instant;

use crate::demux::{PacketKind, classify};
use crate::engine::Engine;
use crate::error::DropReason;
use crate::ids::WorkerId;
use crate::net::Tuple;
use crate::ring::RingMessage;

impl Engine {
    /// Takes one datagram in, and counts it if that is its end.
    pub(crate) fn ingest(&mut self, tuple: Tuple, data: &mut [u8], now: Instant) {
        if let Err(reason) = self.receive(tuple, data, now) {
            self.out.drops.count(reason);
        }
    }

    fn receive(&mut self, tuple: Tuple, data: &mut [u8], now: Instant) -> Result<(), DropReason> {
        let kind = classify(data)?;
        if kind == PacketKind::Stun {
            return self.handle_stun(tuple, data, now);
        }
        let Some(key) = self.routes.by_addr(&tuple) else {
            return Err(match kind {
                PacketKind::Dtls => DropReason::DtlsUnvalidatedAddress,
                _ => DropReason::UnknownAddress,
            });
        };
        match kind {
            PacketKind::Dtls => self.handle_dtls(key, tuple, data, now),
            _ => Err(DropReason::SrtpNoContext),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "packets in it are kept")]
    pub(crate) fn take_ring_message(&mut self, from: WorkerId, message: RingMessage) {
        if let RingMessage::Address { tuple, present } = message {
            self.routes.set_foreign(tuple, from, present);
        }
    }
}
