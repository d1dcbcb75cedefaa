//! RTCP that we send: sender reports per slot, reception of published tracks, repair and keyframe
//! requests, arrival times.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::engine::Engine;
use crate::event::Event;
use crate::keyframe::Request;
use crate::ring::RingMessage;
use crate::rtcp::{
    FirEntry, ReportBlock, SenderInfo, build_twcc, write_fir, write_nack, write_pli, write_remb,
    write_rr, write_rrtr, write_sdes, write_sr,
};
use crate::rtt::DEFAULT_RTT;
use crate::timers::TimerKey;
use crate::track::TrackSource;
use crate::transport::Transport;
use crate::units::DataSize;

/// Reception reports, REMB and reference times; RFC 3550 would allow 5 s.
const RECEIVER_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Intervals vary by this much either way, so that reports of a room do not march in step.
const JITTER: f32 = 0.25;
/// Compounds end before this, so that with SRTCP's trailer they pass every path.
const MAX_COMPOUND_LEN: usize = 1200;
/// Room that a sender report with its SDES takes, CNAME of usual length included.
const SENDER_REPORT_LEN: usize = 28 + 40;
/// PID and bitmask pairs in one NACK.
const MAX_NACK_ENTRIES: usize = 250;

impl Engine {
    /// Reports of one transport that are due.
    pub(crate) fn send_reports(&mut self, key: usize, now: Instant) {
        if self.transports[key].take_report_due(now) {
            self.send_sender_reports(key, now);
        }
        if self.transports[key].receiver_report_at.is_some_and(|at| at <= now) {
            self.send_receiver_reports(key, now);
        }
        self.send_transport_feedback(key, now);
        self.watch_quality(key, now);
    }

    /// Clocks and counts of the slots whose report is due.
    fn send_sender_reports(&mut self, key: usize, now: Instant) {
        let ntp = self.clock.at(now);
        let transport = &mut self.transports[key];
        let mut compound = std::mem::take(&mut self.scratch);
        compound.clear();
        for at in 0..transport.slots.len() {
            let Some(slot) = self.slots.get_mut(transport.slots[at].1) else { continue };
            let Some(track) = slot.bound.as_ref().and_then(|bound| self.tracks.get(bound.track))
            else {
                continue;
            };
            if slot.report_at.is_some_and(|at| at <= now) {
                let jitter = 1.0 + JITTER * (self.random.random::<f32>() * 2.0 - 1.0);
                if let Some(report) = slot.report(track, ntp, jitter, now) {
                    let info = SenderInfo {
                        ntp: report.ntp,
                        rtp_timestamp: report.rtp,
                        packet_count: report.packets,
                        octet_count: report.octets,
                    };
                    write_sr(&mut compound, slot.ssrc, &info, &[]);
                    write_sdes(&mut compound, &[(slot.ssrc, track.cname.as_bytes())]);
                }
            }
            if let Some(at) = slot.report_at {
                transport.report_by(at);
            }
            if compound.len() + SENDER_REPORT_LEN > MAX_COMPOUND_LEN {
                send(transport, &mut compound, &mut self.out);
            }
        }
        send(transport, &mut compound, &mut self.out);
        self.scratch = compound;
    }

    /// What arrived of the peer's tracks, and how much it may send.
    fn send_receiver_reports(&mut self, key: usize, now: Instant) {
        let jitter = 1.0 + JITTER * (self.random.random::<f32>() * 2.0 - 1.0);
        let ntp = self.clock.at(now);
        let transport = &mut self.transports[key];
        transport.receiver_report_at = Some(now + RECEIVER_REPORT_INTERVAL.mul_f32(jitter));
        let own = transport.own_ssrc;
        let mut blocks = Vec::new();
        let mut ssrcs = Vec::new();
        for track in &transport.tracks {
            let Some(track) = self.tracks.get_mut(*track) else { continue };
            for layer in &mut track.layers {
                let Some(ssrc) = layer.ssrc else { continue };
                let Some(report) = layer.reception.report(now) else { continue };
                ssrcs.push(ssrc);
                blocks.push(ReportBlock {
                    ssrc,
                    fraction_lost: report.fraction_lost,
                    cumulative_lost: report.cumulative_lost,
                    highest_sequence: report.highest,
                    jitter: report.jitter,
                    last_sr: report.last_sr,
                    delay_since_last_sr: report.delay_since_last_sr,
                });
            }
        }
        let mut compound = std::mem::take(&mut self.scratch);
        compound.clear();
        write_rr(&mut compound, own, &blocks);
        write_sdes(&mut compound, &[(own, b"airside")]);
        // Asks for the round trip where no report of ours comes back: from those who only publish.
        write_rrtr(&mut compound, own, ntp);
        transport.sent_references.on_sent(ntp.middle(), now);
        if transport.remb && !ssrcs.is_empty() {
            let loss = blocks.iter().map(|block| f64::from(block.fraction_lost)).sum::<f64>()
                / (256.0 * blocks.len() as f64);
            let (bytes, since) = transport.remb_base;
            let total = transport.stats.bytes_received;
            let rate = DataSize::bytes(total - bytes).per(now.saturating_duration_since(since));
            transport.remb_base = (total, now);
            let rtt = transport.rtt.get();
            let estimate = transport.estimate.update(rate, loss, rtt, now);
            write_remb(&mut compound, own, estimate, &ssrcs);
        }
        send(transport, &mut compound, &mut self.out);
        self.scratch = compound;
    }

    /// When each packet of the peer arrived.
    fn send_transport_feedback(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        if !transport.transport_cc {
            return;
        }
        let (own, media) = (transport.own_ssrc, transport.feedback_ssrc);
        let Some(report) = transport.arrivals.take(now) else { return };
        let packets = build_twcc(own, media, report.count, report.base, report.received);
        for mut packet in packets {
            send(transport, &mut packet, &mut self.out);
        }
    }

    /// What one track's publisher is asked for, and whether its layers still live.
    pub(crate) fn track_timeout(&mut self, key: usize, now: Instant) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        track.wake.fired();
        let rtt = match track.transport().and_then(|key| self.transports.get(key)) {
            Some(transport) => transport.rtt.get(),
            None => DEFAULT_RTT,
        };
        let track = &mut self.tracks[key];
        let mut compound = std::mem::take(&mut self.scratch);
        compound.clear();
        let own = track.transport().map_or(1, |key| self.transports[key].own_ssrc);
        for index in 0..track.layers.len() {
            let layer = &mut track.layers[index];
            let ssrc = layer.ssrc;
            if let (Some(nack), Some(ssrc)) = (&mut layer.nack, ssrc) {
                let mut missing = std::mem::take(&mut self.missing);
                missing.clear();
                nack.due(now, rtt, |sequence| missing.push(sequence));
                layer.stats.nacks_sent += missing.len() as u64;
                write_nack(&mut compound, own, ssrc, &missing, MAX_NACK_ENTRIES);
                self.missing = missing;
            }
            let Some(request) = layer.keyframe.poll(now, rtt) else { continue };
            layer.stats.keyframe_requests += 1;
            match (&mut track.source, ssrc, request) {
                (TrackSource::Transport { .. }, Some(ssrc), Request::Pli) => {
                    write_pli(&mut compound, own, ssrc);
                }
                (TrackSource::Transport { .. }, Some(ssrc), Request::Fir(sequence)) => {
                    write_fir(&mut compound, own, FirEntry { media_ssrc: ssrc, sequence });
                }
                (TrackSource::Ring { home }, ..) => {
                    let (track, layer) = (track.id, index as u8);
                    self.out.ring(*home, RingMessage::Keyframe { track, layer });
                }
                (TrackSource::Generator(generator), ..) => {
                    generator.request_keyframe(index as u8);
                }
                (TrackSource::Local, ..) => {
                    let (track, layer) = (track.id, index as u8);
                    self.out.events.push(Event::KeyframeWanted { track, layer });
                }
                // Not known yet.
                (TrackSource::Transport { .. }, ..) => {}
            }
        }
        if let Some(transport) = track.transport() {
            send(&mut self.transports[transport], &mut compound, &mut self.out);
        }
        self.scratch = compound;
        self.review_wishes(key, now);
        self.stop_silent_layers(key, now);
        self.run_generator(key, now);
        self.arm_track(key);
    }

    fn stop_silent_layers(&mut self, key: usize, now: Instant) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let (streams, changed) = track.handle_silence(now);
        for index in (0..track.layers.len()).filter(|at| streams >> at & 1 == 1) {
            let layer = &mut track.layers[index];
            layer.keyframe.cancel();
            if let Some(nack) = &mut layer.nack {
                nack.clear();
            }
            if track.is_home() {
                let (track, layer) = (track.id, index as u8);
                self.out.events.push(Event::LayerStopped { track, layer });
            }
        }
        if changed {
            self.retarget_slots(key, now);
        }
    }

    /// Sets the track's timer to what it waits for.
    pub(crate) fn arm_track(&mut self, key: usize) {
        let Some(track) = self.tracks.get_mut(key) else { return };
        let rtt = match track.transport().and_then(|key| self.transports.get(key)) {
            Some(transport) => transport.rtt.get(),
            None => DEFAULT_RTT,
        };
        if let Some(at) = track.poll_timeout(rtt) {
            self.timers.arm(TimerKey::Track(key), &mut track.wake, at);
        }
    }
}

/// Sends and empties a compound; counts it where that is not possible.
fn send(transport: &mut Transport, compound: &mut Vec<u8>, out: &mut crate::output::Output) {
    if let Err(reason) = transport.send_rtcp(&mut out.arena, compound) {
        out.drops.count(reason);
    }
    compound.clear();
}
