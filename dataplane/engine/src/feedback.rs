//! RTCP that a peer sent: what publishers say about their clocks, what subscribers miss.

use std::time::Instant;

use crate::command::{MediaKind, Target};
use crate::egress::Turn;
use crate::engine::Engine;
use crate::error::DropReason;
use crate::net::TransmitArena;
use crate::pace::pace_again;
use crate::responder::{NotResent, Request};
use crate::ring::RingMessage;
use crate::rtcp::{
    Compound, DlrrItem, Nack, ReportBlock, Rtcp, SenderInfo, Twcc, Xr, XrBlock, write_dlrr,
};
use crate::sender::SourceClock;
use crate::sending::Sending;
use crate::slot::{SentRing, Slot};
use crate::transport::Transport;
use crate::units::Bitrate;

/// Packets of one compound that are looked at: more is no report but an attack.
const MAX_PACKETS: usize = 64;
/// Packets of one NACK that the repair budget may owe: about a keyframe's worth, which is then better.
const MAX_UNPAID: u32 = 32;

impl Engine {
    /// A decrypted compound of the transport's peer. What comes before a malformed part counts.
    pub(crate) fn handle_rtcp(
        &mut self,
        key: usize,
        compound: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        for packet in Compound::new(compound).take(MAX_PACKETS) {
            match packet.map_err(|_| DropReason::RtcpMalformed)? {
                Rtcp::SenderReport(report) => {
                    self.on_sender_report(key, report.ssrc, &report.info, now);
                    report.reports.for_each(|block| self.on_report(key, &block, now));
                }
                Rtcp::ReceiverReport(report) => {
                    report.reports.for_each(|block| self.on_report(key, &block, now));
                }
                Rtcp::Nack(nack) => self.on_nack(key, &nack, now),
                Rtcp::Pli(pli) => self.on_keyframe_request(key, pli.media_ssrc, now),
                Rtcp::Fir(fir) => {
                    for entry in fir.entries() {
                        let new = self.slot_of(key, entry.media_ssrc).is_some_and(|(_, slot)| {
                            slot.fir.is_new(fir.sender_ssrc, entry.sequence)
                        });
                        if new {
                            self.on_keyframe_request(key, entry.media_ssrc, now);
                        }
                    }
                }
                Rtcp::Twcc(feedback) => {
                    self.transports[key].on_transport_feedback(&feedback, now);
                    self.follow_estimate(key, now);
                }
                Rtcp::Remb(remb) => {
                    self.transports[key].on_remb(remb.bitrate, now);
                    self.follow_estimate(key, now);
                }
                Rtcp::Xr(report) => self.on_extended_report(key, &report, now),
                // Names of the peer's sources, and sources that say they stop: tracks end by
                // signaling, layers by silence.
                Rtcp::Sdes(_) | Rtcp::Bye(_) => {}
            }
        }
        Ok(())
    }

    /// A publisher's clocks.
    fn on_sender_report(&mut self, key: usize, ssrc: u32, info: &SenderInfo, now: Instant) {
        let transport = &mut self.transports[key];
        let Some(binding) = transport.bindings.get(ssrc).filter(|binding| !binding.repair) else {
            return;
        };
        let arrival = self.clock.at(now);
        let ntp = transport.publisher_clock.on_sender_report(info.ntp, arrival);
        let Some(track) = self.tracks.get_mut(binding.track) else { return };
        let layer = &mut track.layers[usize::from(binding.layer)];
        layer.reception.on_sender_report(info.ntp.middle(), now);
        let clock = SourceClock { ntp, rtp: info.rtp_timestamp, arrival: now };
        layer.clock = Some(clock);
        let (track_id, layer) = (track.id, binding.layer);
        for worker in track.readers.iter().filter_map(Target::worker) {
            self.out.ring(worker, RingMessage::SenderReport { track: track_id, layer, clock });
        }
    }

    /// A subscriber's reception of one slot.
    fn on_report(&mut self, key: usize, block: &ReportBlock, now: Instant) {
        let Some((slot_key, slot)) = self.slot_of(key, block.ssrc) else { return };
        slot.acknowledged = true;
        slot.on_loss(block.fraction_lost);
        slot.stats.fraction_lost = block.fraction_lost;
        slot.stats.jitter = block.jitter;
        slot.meter.on_report(block, slot.clock_rate());
        let rtt = slot.sent_reports.round_trip(block.last_sr, block.delay_since_last_sr, now);
        if let Some(rtt) = rtt {
            self.transports[key].rtt.on_sample(rtt);
        }
        self.follow_form(slot_key);
    }

    /// Packets a subscriber misses: sent again from the cache while its budget lasts. Where that will
    /// not do it is not left to wait until its own patience ends: it gets a keyframe.
    fn on_nack(&mut self, key: usize, nack: &Nack<'_>, now: Instant) {
        let Some((slot_key, _)) = self.slot_of(key, nack.media_ssrc) else { return };
        let turn = Turn::new(now, self.clock.at(now));
        let transport = &mut self.transports[key];
        let slot = &mut self.slots[slot_key];
        let Some(track) = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track)) else {
            return;
        };
        let rtt = transport.rtt.get();
        let (mut hopeless, mut unpaid) = (false, 0);
        let narrowed = transport.sending.as_ref().is_some_and(|sending| sending.is_narrowed(now));
        transport.repair.start_packet(transport.sending.is_some() && !narrowed);
        for sequence in nack.sequences() {
            if !transport.repair.admit_number(now) {
                break;
            }
            slot.stats.nacked += 1;
            let Some((layer, source_seq, out)) = slot.lost(sequence, now) else { continue };
            if slot.padding_type().is_none() {
                if slot.is_repeated(track, rtt) {
                    repeat(&mut self.out.arena, transport, slot, out, now);
                }
                continue;
            }
            let cache = track.layers.get(usize::from(layer)).map(|layer| &layer.cache);
            let Some(packet) = cache.and_then(|cache| cache.get(source_seq)) else { continue };
            let admitted = slot.responder.admit(out, rtt, narrowed, now);
            hopeless |= admitted == Err(NotResent::TooOften) && slot.stream() == Some(layer);
            let (Ok(request), false) = (admitted, slot.is_leaving()) else { continue };
            if !transport.repair.take(packet.payload.len(), request, now) {
                slot.responder.retract(out);
                unpaid += 1;
                continue;
            }
            // Time for one more try would be a round trip more: a second copy is cheaper than that.
            let twice = request == Request::Again
                && !narrowed
                && transport.repair.take(packet.payload.len(), Request::First, now);
            for _ in 0..1 + u32::from(twice) {
                let Some(resent) = slot.resend(packet, out) else { break };
                slot.stats.resent += 1;
                let arena = &mut self.out.arena;
                let sent = pace_again(arena, transport, (slot_key, slot), packet, resent, &turn);
                if let Err(reason) = sent {
                    self.out.drops.count(reason);
                }
            }
        }
        let layer = slot.stream().filter(|_| slot.kind == MediaKind::Video);
        let track = slot.bound.as_ref().map(|bound| bound.track);
        if let (Some(layer), Some(track), true) = (layer, track, hopeless || unpaid > MAX_UNPAID) {
            self.want_keyframe(track, layer, now);
        }
        self.arm_transport(key);
    }

    /// A subscriber cannot decode: the layer it gets, or waits for, needs a keyframe.
    fn on_keyframe_request(&mut self, key: usize, ssrc: u32, now: Instant) {
        let Some((_, slot)) = self.slot_of(key, ssrc) else { return };
        slot.stats.keyframe_requests += 1;
        slot.meter.on_break(now);
        let layer = slot.stream().or(slot.waits_for());
        let track = slot.bound.as_ref().map(|bound| bound.track);
        if let (Some(layer), Some(track)) = (layer, track) {
            self.want_keyframe(track, layer, now);
        }
    }

    fn on_extended_report(&mut self, key: usize, report: &Xr<'_>, now: Instant) {
        let transport = &mut self.transports[key];
        let mut asked = None;
        for block in report.blocks() {
            match block {
                // Answered at once, hence without delay; a second one adds nothing.
                XrBlock::Rrtr(ntp) => {
                    let ssrc = report.sender_ssrc;
                    asked = Some(DlrrItem { ssrc, last_rr: ntp.middle(), delay_since_last_rr: 0 });
                }
                XrBlock::Dlrr(item) => {
                    let sent = &transport.sent_references;
                    let delay = item.delay_since_last_rr;
                    if let Some(rtt) = sent.round_trip(item.last_rr, delay, now) {
                        transport.rtt.on_sample(rtt);
                    }
                }
            }
        }
        if let Some(item) = asked {
            let mut answer = std::mem::take(&mut self.scratch);
            answer.clear();
            write_dlrr(&mut answer, transport.own_ssrc, &[item]);
            if let Err(reason) = transport.send_rtcp(&mut self.out.arena, &answer) {
                self.out.drops.count(reason);
            }
            self.scratch = answer;
        }
    }

    /// The slot of this transport that sends by `ssrc`.
    fn slot_of(&mut self, key: usize, ssrc: u32) -> Option<(usize, &mut Slot)> {
        let transport = self.transports.get(key)?;
        let found = transport.slots.iter().find(|(own, _)| *own == ssrc)?.1;
        self.slots.get_mut(found).map(|slot| (found, slot))
    }

    /// Somebody waits for a keyframe of this layer; asks upstream within the throttle.
    pub(crate) fn want_keyframe(&mut self, track_key: usize, layer: u8, now: Instant) {
        let Some(track) = self.tracks.get_mut(track_key) else { return };
        if track.muted {
            return;
        }
        if let Some(layer) = track.layers.get_mut(usize::from(layer)) {
            layer.keyframe.want(now);
        }
        self.arm_track(track_key);
    }
}

impl Transport {
    /// Which of our packets reached the peer, and when.
    fn on_transport_feedback(&mut self, feedback: &Twcc<'_>, now: Instant) {
        let received = feedback.received().count() as u64;
        self.stats.transport_feedbacks += 1;
        self.stats.transport_cc_received += received;
        self.stats.transport_cc_lost += u64::from(feedback.status_count).saturating_sub(received);
        if let Some(sending) = &mut self.sending {
            sending.on_feedback(feedback, now);
        }
    }

    /// How much the peer thinks reaches it. One that says so is limited by it from then on.
    fn on_remb(&mut self, rate: Bitrate, now: Instant) {
        self.stats.remb_bps = Some(rate.as_bps());
        if self.limited {
            self.sending.get_or_insert_with(|| Box::new(Sending::new())).on_remb(rate, now);
        }
    }
}

/// Sends a datagram of a section without RTX once more, bit for bit (RFC 4585, section 6.2.1).
/// Only who asks for it pays for keeping them.
fn repeat(
    arena: &mut TransmitArena,
    transport: &mut Transport,
    slot: &mut Slot,
    out: u64,
    now: Instant,
) {
    let leaving = slot.is_leaving();
    let sent = slot.sent.get_or_insert_with(SentRing::new);
    let (Some(datagram), Some(tuple)) = (sent.get(out), transport.tuple) else { return };
    if leaving {
        return;
    }
    let Ok(request) = slot.responder.admit(out, transport.rtt.get(), false, now) else { return };
    if transport.repair.take(datagram.len(), request, now) {
        arena.push(tuple, datagram);
        slot.stats.resent += 1;
        slot.repeated += 1;
    } else {
        slot.responder.retract(out);
    }
}
