//! One datagram's way in, top to bottom.
//!
//! ```text
//! of a local ring ─ local.rs ─ as below, without checks and ciphers
//! first byte ─ STUN ─ connect.rs
//!            ─ address ─┬─ DTLS ─ connect.rs
//!                       ├─ RTCP ─ decrypt ─ feedback.rs
//!                       └─ RTP ─ decrypt ─ path ─ extensions ─ layer ─ repair ─ place ─ inspect
//!                                ─ cache ─ this turn's packets ─ forward.rs
//! ```

use std::sync::Arc;
use std::time::Instant;

use crate::codec::Keyframe;
use crate::command::MediaKind;
use crate::demux::{PacketKind, classify};
use crate::engine::Engine;
use crate::error::DropReason;
use crate::event::Event;
use crate::layers::liveness::Life;
use crate::nack::Action;
use crate::net::{Protocol, Tuple};
use crate::packet::{Form, PassThrough, SourcePacket};
use crate::room_audio::Heard;
use crate::rtp::{AudioLevel, ExtensionKind, ExtensionSpans, RtpView};
use crate::timers::TimerKey;
use crate::track::Placed;
use crate::transport::Binding;

/// A decrypted packet in its parts.
#[derive(Clone, Copy)]
struct Received<'a> {
    view: &'a RtpView,
    spans: &'a ExtensionSpans,
    /// All of it.
    data: &'a [u8],
    /// Without padding, and for RTX without the original sequence number.
    payload: &'a [u8],
}

/// Original sequence number in front of an RTX payload (RFC 4588, section 4).
const OSN_LEN: usize = 2;

impl Engine {
    /// Takes one datagram in, and counts it if that is its end.
    pub(crate) fn ingest(&mut self, tuple: Tuple, data: &mut [u8], now: Instant) {
        if let Err(reason) = self.receive(tuple, data, now) {
            self.out.drops.count(reason);
        }
    }

    fn receive(&mut self, tuple: Tuple, data: &mut [u8], now: Instant) -> Result<(), DropReason> {
        if tuple.protocol == Protocol::Local {
            return self.receive_local(tuple, data, now);
        }
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
            PacketKind::Rtp => self.receive_rtp(key, tuple, data, now),
            PacketKind::Rtcp => self.receive_rtcp(key, tuple, data, now),
            PacketKind::Dtls | PacketKind::Stun => self.handle_dtls(key, tuple, data, now),
        }
    }

    pub(crate) fn receive_rtcp(
        &mut self,
        key: usize,
        tuple: Tuple,
        data: &mut [u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let transport = &mut self.transports[key];
        let media = transport.media_in.as_mut().ok_or(DropReason::SrtpNoContext)?;
        let len = media.open_rtcp(data)?;
        transport.on_authenticated(tuple, data.len(), now);
        self.handle_rtcp(key, &data[..len], now)
    }

    pub(crate) fn receive_rtp(
        &mut self,
        key: usize,
        tuple: Tuple,
        data: &mut [u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        // Decrypt: only the peer's own packets go further.
        let view = RtpView::parse(data).map_err(|_| DropReason::RtpMalformed)?;
        let transport = &mut self.transports[key];
        let media = transport.media_in.as_mut().ok_or(DropReason::SrtpNoContext)?;
        let datagram_len = data.len();
        let plain_len = media.open_rtp(data, &view)?;
        let data = &data[..plain_len];
        transport.on_authenticated(tuple, datagram_len, now);

        // Extensions; the arrival is recorded for feedback whatever becomes of the packet.
        let spans = ExtensionSpans::find(&transport.extensions, &view, data)
            .map_err(|_| DropReason::RtpMalformed)?;
        if transport.transport_cc
            && let Some(number) = spans.transport_cc(data)
        {
            transport.arrivals.on_packet(number, now);
            transport.feedback_ssrc = view.ssrc;
            if let Some(at) = transport.arrivals.poll_timeout() {
                self.timers.arm(TimerKey::Transport(key), &mut transport.wake, at);
            }
        }

        // Layer.
        let binding = match transport.bindings.get(view.ssrc) {
            Some(binding) => binding,
            None => {
                let sections = &transport.tracks;
                transport.bindings.bind(sections, &mut self.tracks, &view, &spans, data)?
            }
        };
        let range = view.payload(data).map_err(|_| DropReason::RtpMalformed)?;
        let packet = Received { view: &view, spans: &spans, data, payload: &data[range] };
        if binding.repair {
            self.take_repaired(key, binding, packet, now)
        } else {
            self.take_media(key, binding, &packet, now)
        }
    }

    /// A packet on a layer's own SSRC.
    fn take_media(
        &mut self,
        key: usize,
        binding: Binding,
        packet: &Received<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let track = &mut self.tracks[binding.track];
        let payload_type = packet.view.payload_type;
        let codec = track.codecs.iter().position(|codec| codec.payload_type == payload_type);
        let codec = codec.ok_or(DropReason::RtpUnknownPayloadType)?;
        let layer = &mut track.layers[usize::from(binding.layer)];
        layer.use_codec(codec as u8, &track.codecs[codec]);
        let placed = layer.place(packet.view.sequence, packet.view.timestamp, now)?;
        match placed.action {
            Action::Wait => {
                if !placed.late && layer.misses_packets() {
                    self.arm_track(binding.track);
                }
            }
            Action::NackNow => self.arm_track(binding.track),
            Action::RequestKeyframe => {
                layer.meter.on_break(now);
                self.want_keyframe(binding.track, binding.layer, now);
            }
        }
        self.take_in(key, binding, codec as u8, placed, packet, now)
    }

    /// RTX: the packet it repairs takes its place as a late one.
    fn take_repaired(
        &mut self,
        key: usize,
        binding: Binding,
        mut packet: Received<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some((original, payload)) = packet.payload.split_first_chunk::<OSN_LEN>() else {
            // A probe with nothing in it; its arrival was recorded.
            let probe = packet.payload.is_empty();
            return Err(if probe { DropReason::PaddingOnly } else { DropReason::RtxMalformed });
        };
        if payload.is_empty() {
            return Err(DropReason::PaddingOnly);
        }
        packet.payload = payload;
        let track = &mut self.tracks[binding.track];
        let repairs = Some(packet.view.payload_type);
        let codec = track.codecs.iter().position(|codec| codec.rtx_payload_type == repairs);
        let codec = codec.ok_or(DropReason::RtpUnknownPayloadType)?;
        let layer = &mut track.layers[usize::from(binding.layer)];
        let placed = layer.place_repaired(u16::from_be_bytes(*original), now)?;
        self.take_in(key, binding, codec as u8, placed, &packet, now)
    }

    /// A packet that has its place: inspected, with what subscribers get of its extensions.
    fn take_in(
        &mut self,
        key: usize,
        binding: Binding,
        codec_index: u8,
        placed: Placed,
        packet: &Received<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Received { view, spans, data, payload } = *packet;
        let track = &mut self.tracks[binding.track];
        if track.muted {
            return Err(DropReason::NotAllowed);
        }
        let codec = track.codecs[usize::from(codec_index)].codec;
        let layer = &mut track.layers[usize::from(binding.layer)];
        let descriptor = spans.get(ExtensionKind::DependencyDescriptor, data);
        let frame = layer.inspect(codec, payload, descriptor, view.marker, &placed);
        let described = descriptor.and_then(|extension| layer.described(extension));
        layer.meter.on_packet(codec, &placed, view, frame.keyframe, now);
        let clock = &self.transports[key].publisher_clock;
        let capture_time = spans
            .abs_capture_time(data)
            .and_then(|time| Some((clock.to_ours(time.captured)?.0, time.clock_offset_q32)));
        let fields = SourcePacket {
            track: track.id,
            layer: binding.layer,
            codec: codec_index,
            ext_seq: placed.ext_seq,
            timestamp: view.timestamp,
            marker: view.marker,
            late: placed.late,
            restart: placed.restart,
            arrival: now,
            frame,
            extensions: PassThrough {
                audio_level: spans.audio_level(data).map(AudioLevel::to_byte),
                orientation: spans.video_orientation(data),
                capture_time,
            },
            form: Form::Published,
            described,
            payload: Vec::new(),
        };
        self.publish(binding.track, fields, payload, now)
    }

    /// A packet of any source into cache and fan-out. Padding goes to the slots only, which leave
    /// its number out.
    pub(crate) fn publish(
        &mut self,
        key: usize,
        fields: SourcePacket,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let packet = self.pool.share(fields, payload);
        self.publish_shared(key, packet, now)
    }

    /// The same for a packet that came over a ring, and is shared already.
    pub(crate) fn publish_shared(
        &mut self,
        key: usize,
        packet: Arc<SourcePacket>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let track = &mut self.tracks[key];
        let (index, padding, late) = (packet.layer, packet.payload.is_empty(), packet.late);
        let layer = track.layers.get_mut(usize::from(index)).ok_or(DropReason::RtpUnknownSsrc)?;
        layer.stats.packets += 1;
        layer.stats.bytes += packet.payload.len() as u64;
        if !padding {
            layer.keep(Arc::clone(&packet), &mut self.pool)?;
        }
        if packet.frame.keyframe == Keyframe::Yes && !late {
            // Where the track is a mirror this is where it is seen that a wish was met.
            layer.keyframe.on_keyframe();
        }
        let started = !late && !padding && layer.liveness.on_packet(now) == Some(Life::Young);
        let changed = !padding && track.measure(&packet, now) || started;
        if started && track.is_home() {
            let (track, codec) = (track.id, packet.codec);
            self.out.events.push(Event::LayerStarted { track, layer: index, codec });
        }
        let audio = track.kind == MediaKind::Audio && !padding;
        let heard = if audio { self.hear(key, &packet, now) } else { Heard::Pass };
        let routed = match heard {
            Heard::Pass => self.route(key, packet),
            Heard::Resume { pre_roll } => self.resume(key, &packet, pre_roll),
            Heard::Withhold => {
                self.withhold(key, &packet);
                Ok(())
            }
        };
        if changed {
            self.arm_track(key);
            self.retarget_slots(key, now);
        }
        if padding { Err(DropReason::PaddingOnly) } else { routed }
    }
}
