//! Between a slot's decision and the wire: packets leave at once while the path's tokens last, which
//! is the usual case, else in their turn; and what fills a probe.

use std::sync::Arc;
use std::time::Instant;

use crate::bwe::ProbeId;
use crate::codec::Keyframe;
use crate::command::MediaKind;
use crate::egress::{Turn, send_again, send_media, send_padding};
use crate::engine::Engine;
use crate::error::DropReason;
use crate::net::TransmitArena;
use crate::pacer::{Header, PacketClass, Release, Verdict};
use crate::packet::SourcePacket;
use crate::sending::{IP_UDP_LEN, Outgoing, PACKET_OVERHEAD, Sending, Waiting};
use crate::slot::{Resent, Rewritten, Slot};
use crate::transport::Transport;

/// So many of the newest packets of a slot are sent again in turn to fill a probe.
const RECENT_PACKETS: u64 = 16;

/// Sends a forwarded packet, or lets it wait for its turn.
///
/// # Errors
/// Why it will not be sent.
#[inline]
pub(crate) fn pace_media(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    (slot_key, slot): (usize, &mut Slot),
    packet: &Arc<SourcePacket>,
    rewritten: Rewritten,
    turn: &Turn,
) -> Result<(), DropReason> {
    let Some(sending) = &mut transport.sending else {
        return send_media(arena, transport, slot, packet, &rewritten, None, turn);
    };
    let video = slot.kind == MediaKind::Video;
    let header = Header {
        class: if video { PacketClass::Video } else { PacketClass::Audio },
        slot: slot.id,
        importance: slot.importance(),
        size: packet.payload.len() + PACKET_OVERHEAD,
        keyframe: video && packet.frame.keyframe == Keyframe::Yes,
        start: packet.frame.start,
        end: packet.frame.end || packet.marker,
    };
    match sending.admit(&header, turn.now) {
        Verdict::Now(probe) => send_media(arena, transport, slot, packet, &rewritten, probe, turn),
        Verdict::Wait(place) => {
            let outgoing = Outgoing::Media(rewritten);
            let waiting = Waiting { slot: slot_key, packet: Arc::clone(packet), outgoing };
            queued(sending.pacer.queue(header, place, waiting, turn.now))
        }
        Verdict::Drop => Err(DropReason::PacerFull),
    }
}

/// The same for a packet that is sent again.
///
/// # Errors
/// Why it will not be sent.
pub(crate) fn pace_again(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    (slot_key, slot): (usize, &mut Slot),
    packet: &Arc<SourcePacket>,
    resent: Resent,
    turn: &Turn,
) -> Result<(), DropReason> {
    let Some(sending) = &mut transport.sending else {
        return send_again(arena, transport, slot, packet, &resent, None, turn).map(drop);
    };
    let header = Header {
        class: PacketClass::Retransmission,
        slot: slot.id,
        importance: slot.importance(),
        size: packet.payload.len() + PACKET_OVERHEAD,
        keyframe: false,
        start: false,
        end: false,
    };
    match sending.admit(&header, turn.now) {
        Verdict::Now(probe) => {
            send_again(arena, transport, slot, packet, &resent, probe, turn).map(drop)
        }
        Verdict::Wait(place) => {
            let outgoing = Outgoing::Again(resent);
            let waiting = Waiting { slot: slot_key, packet: Arc::clone(packet), outgoing };
            queued(sending.pacer.queue(header, place, waiting, turn.now))
        }
        Verdict::Drop => Err(DropReason::PacerFull),
    }
}

fn queued(kept: bool) -> Result<(), DropReason> {
    if kept { Ok(()) } else { Err(DropReason::PacerFull) }
}

/// Sends a packet whose turn has come.
fn transmit(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    slot: &mut Slot,
    waiting: &Waiting,
    probe: Option<ProbeId>,
    turn: &Turn,
) -> Result<(), DropReason> {
    let packet = &waiting.packet;
    match &waiting.outgoing {
        Outgoing::Media(rewritten) => {
            send_media(arena, transport, slot, packet, rewritten, probe, turn)
        }
        Outgoing::Again(resent) => {
            send_again(arena, transport, slot, packet, resent, probe, turn).map(drop)
        }
    }
}

fn sending_of(transport: &mut Transport) -> Option<&mut Sending> {
    transport.sending.as_deref_mut()
}

impl Engine {
    /// What of a transport's queue and probe may leave now.
    pub(crate) fn drain_pacer(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        let Some(sending) = &mut transport.sending else { return };
        sending.handle_timeout(now);
        let turn = Turn::new(now, self.clock.at(now));
        while let Some(release) = sending_of(transport).and_then(|sending| sending.pacer.poll(now))
        {
            let Release { item, probe, .. } = release;
            let Some(slot) = self.slots.get_mut(item.slot) else { continue };
            let sent = transmit(&mut self.out.arena, transport, slot, &item, probe, &turn);
            if let Err(reason) = sent {
                self.out.drops.count(reason);
            }
        }
        self.fill_probe(key, &turn);
        self.follow_cuts(key, now);
    }

    /// Sends beside the media what a probe lacks.
    fn fill_probe(&mut self, key: usize, turn: &Turn) {
        let mut back = 0;
        loop {
            let Some(sending) = sending_of(&mut self.transports[key]) else { return };
            let Some(id) = sending.pacer.poll_padding(turn.now) else { return };
            let len = self.send_filler(key, id, back, turn);
            back = (back + 1) % RECENT_PACKETS;
            if let Some(sending) = sending_of(&mut self.transports[key]) {
                sending.pacer.sent_padding(len);
            }
        }
    }

    /// Sends a recent packet of the transport again, or padding where nothing was sent of late; both
    /// by RTX, which receivers throw away after they have counted it. Returns its length with IP
    /// and UDP. `None`: no section has RTX, or there is no path.
    fn send_filler(&mut self, key: usize, id: ProbeId, back: u64, turn: &Turn) -> Option<usize> {
        let transport = &mut self.transports[key];
        let arena = &mut self.out.arena;
        let mut silent = None;
        for at in 0..transport.slots.len() {
            let slot_key = transport.slots[at].1;
            let Some(slot) = self.slots.get_mut(slot_key) else { continue };
            let Some(rtx) = slot.padding_type() else { continue };
            silent = silent.or(Some((slot_key, rtx)));
            let track = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track));
            let Some((layer, number, out)) = slot.recent(back, turn.now) else { continue };
            let layer = track.and_then(|track| track.layers.get(usize::from(layer)));
            let Some(packet) = layer.and_then(|layer| layer.cache.get(number)) else { continue };
            let Some(resent) = slot.resend(packet, out) else { continue };
            let sent = send_again(arena, transport, slot, packet, &resent, Some(id), turn);
            return sent.ok().map(|len| len + IP_UDP_LEN);
        }
        let (slot_key, rtx) = silent?;
        let slot = self.slots.get_mut(slot_key)?;
        let padding = slot.padding(rtx)?;
        let sent = send_padding(arena, transport, slot, &padding, id, turn);
        sent.ok().map(|len| len + IP_UDP_LEN)
    }

    /// Tracks that lost what waited of them go on at a keyframe.
    fn follow_cuts(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        let mut cuts = Vec::new();
        while let Some(cut) = sending_of(transport).and_then(|sending| sending.pacer.poll_cut()) {
            if let Some(sending) = &mut transport.sending {
                sending.count_cut(cut.packets);
            }
            cuts.push(cut.slot);
        }
        for slot in cuts {
            self.break_off(slot, now);
        }
    }
}
