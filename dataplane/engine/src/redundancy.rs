//! Redundant audio (RFC 2198) of one track: undone for subscribers who do not take it, made for
//! those who lose packets, once for all that are alike.

use std::sync::Arc;

use crate::codec::Codec;
use crate::codec::opus::Toc;
use crate::codec::red_decode::RedDecoder;
use crate::codec::red_encode::RedEncoder;
use crate::command::{MediaKind, ReceiveCodec};
use crate::engine::Engine;
use crate::error::DropReason;
use crate::fanout::Fanout;
use crate::forward::Routed;
use crate::packet::{Form, PacketPool, SourcePacket, WRAPPED};
use crate::rtp::AudioLevel;
use crate::units::Bitrate;

/// A sender of RED sends single packets plain when they are large; after so many it has stopped.
const PLAIN_FOR_GOOD: u32 = 50;

/// What one track needs to change the form of its packets.
#[derive(Debug)]
pub(crate) struct Redundancy {
    /// Index of RED in the track's codecs, and of the Opus inside.
    red: Option<u8>,
    opus: u8,
    opus_payload_type: u8,
    /// RED is what the publisher sends.
    published_red: bool,
    /// Plain packets since the last RED.
    plain: u32,
    decoder: RedDecoder,
    encoder: RedEncoder,
    /// Forms that somebody gets, and the payload being made; memory used within one call.
    forms: Vec<Form>,
    payload: Vec<u8>,
}

impl Redundancy {
    /// None if the track has no Opus, or what it has may not be looked into.
    pub(crate) fn new(codecs: &[ReceiveCodec], encrypted: bool) -> Option<Self> {
        let find = |codec| codecs.iter().position(|known| known.codec == codec);
        let opus = find(Codec::Opus).filter(|_| !encrypted)?;
        let opus_payload_type = codecs[opus].payload_type;
        Some(Self {
            red: find(Codec::Red).map(|red| red as u8),
            opus: opus as u8,
            opus_payload_type,
            published_red: codecs[0].codec == Codec::Red,
            plain: 0,
            decoder: RedDecoder::new(opus_payload_type),
            encoder: RedEncoder::default(),
            forms: Vec::new(),
            payload: Vec::new(),
        })
    }

    pub(crate) fn published_red(&self) -> bool {
        self.published_red
    }

    /// What RED of this track calls Opus.
    pub(crate) fn opus_payload_type(&self) -> u8 {
        self.opus_payload_type
    }

    /// True if the publisher has changed between RED and plain Opus.
    fn observe(&mut self, packet: &SourcePacket) -> bool {
        let before = self.published_red;
        if Some(packet.codec) == self.red {
            self.plain = 0;
            self.published_red = true;
        } else {
            self.plain = self.plain.saturating_add(1);
            self.published_red &= self.plain < PLAIN_FOR_GOOD;
        }
        self.published_red != before
    }

    /// Makes what receivers get beside the published packet.
    fn derive(
        &mut self,
        key: usize,
        packet: &SourcePacket,
        fanout: &[Fanout],
        pool: &mut PacketPool,
        turn: &mut Vec<Routed>,
    ) -> Result<(), DropReason> {
        self.forms.clear();
        for entry in fanout {
            if entry.form != Form::Published && !self.forms.contains(&entry.form) {
                self.forms.push(entry.form);
            }
        }
        if packet.restart {
            self.decoder = RedDecoder::new(self.opus_payload_type);
        }
        if Some(packet.codec) == self.red {
            if self.forms.contains(&Form::Unwrapped) {
                return self.unwrap(packet, |made| turn.push((key, made)), pool);
            }
        } else if packet.codec == self.opus {
            self.decoder.on_plain(packet.ext_seq, packet.timestamp);
            self.wrap(packet, |made| turn.push((key, made)), pool);
        }
        Ok(())
    }

    /// The Opus packets inside, with what was lost before and comes back by it.
    fn unwrap(
        &mut self,
        packet: &SourcePacket,
        mut emit: impl FnMut(Arc<SourcePacket>),
        pool: &mut PacketPool,
    ) -> Result<(), DropReason> {
        let unwrapped = self
            .decoder
            .unwrap(packet.ext_seq, packet.timestamp, &packet.payload)
            .map_err(|_| DropReason::RtpMalformed)?;
        for plain in unwrapped.packets() {
            let fields = SourcePacket {
                codec: self.opus,
                ext_seq: plain.seq,
                timestamp: plain.timestamp,
                marker: packet.marker && !plain.recovered,
                late: packet.late || plain.recovered,
                restart: packet.restart && !plain.recovered,
                form: Form::Unwrapped,
                ..packet.without_payload()
            };
            emit(pool.share(fields, plain.data));
        }
        Ok(())
    }

    /// The packet with those before it, as each kind of receiver wants it; plain where there is
    /// nothing to repeat.
    fn wrap(
        &mut self,
        packet: &SourcePacket,
        mut emit: impl FnMut(Arc<SourcePacket>),
        pool: &mut PacketPool,
    ) {
        let SourcePacket { ext_seq, timestamp, ref payload, .. } = *packet;
        for form in &self.forms {
            let Form::Wrapped { distance, opus } = *form else { continue };
            let out = &mut self.payload;
            let wrapped = !packet.late
                && self.encoder.encode(ext_seq, timestamp, payload, distance, opus, out);
            let codec = if wrapped { WRAPPED } else { self.opus };
            let fields = SourcePacket { codec, form: *form, ..packet.without_payload() };
            emit(pool.share(fields, if wrapped { out } else { payload }));
        }
        if !packet.late {
            let level = packet.extensions.audio_level.map(AudioLevel::from_byte);
            let voice = level.map_or_else(|| !Toc::parse(payload).dtx, |level| level.voice);
            self.encoder.push(ext_seq, timestamp, payload, voice);
        }
    }
}

impl Engine {
    /// Puts a packet that is to be forwarded, in each form that somebody gets, into this turn.
    pub(crate) fn route(
        &mut self,
        key: usize,
        packet: Arc<SourcePacket>,
    ) -> Result<(), DropReason> {
        let observed = match &mut self.tracks[key].redundancy {
            Some(redundancy) if packet.is_published_media() => redundancy.observe(&packet),
            _ => {
                self.turn.push((key, packet));
                return Ok(());
            }
        };
        if observed {
            for at in 0..self.tracks[key].fanout.len() {
                self.follow_form_of(key, at);
            }
        }
        self.turn.push((key, Arc::clone(&packet)));
        let track = &mut self.tracks[key];
        let Some(redundancy) = &mut track.redundancy else { return Ok(()) };
        redundancy.derive(key, &packet, &track.fanout, &mut self.pool, &mut self.turn)
    }

    /// Chooses anew in which form a slot gets its audio.
    pub(crate) fn follow_form(&mut self, key: usize) {
        let bound = self.slots.get(key).and_then(|slot| slot.bound.as_ref());
        let Some((track_key, track)) =
            bound.and_then(|bound| Some((bound.track, self.tracks.get(bound.track)?)))
        else {
            return;
        };
        if let Some(at) = track.fanout.iter().position(|entry| entry.slot == key) {
            self.follow_form_of(track_key, at);
        }
    }

    /// The same by its place in the track's fan-out: a publisher that goes from RED to plain and back
    /// must not make us search all receivers for each of them.
    fn follow_form_of(&mut self, track: usize, at: usize) {
        let Fanout { slot, receiver, .. } = self.tracks[track].fanout[at];
        let estimate = self.left_for_sound(receiver);
        let track = &mut self.tracks[track];
        if let Some(slot) = self.slots.get_mut(slot) {
            track.fanout[at].form = slot.follow_form(track, estimate);
        }
    }

    /// What the path can take, as far as redundancy must care: not before it has shown a limit, and
    /// not where there is no video to make room for.
    fn left_for_sound(&self, transport: usize) -> Bitrate {
        let Some(transport) = self.transports.get(transport) else { return Bitrate::MAX };
        let proven = transport.sending.as_ref().filter(|sending| sending.is_proven());
        let video = |&(_, key): &(u32, usize)| {
            let slot = self.slots.get(key);
            slot.is_some_and(|slot| slot.kind == MediaKind::Video && slot.bound.is_some())
        };
        match proven {
            Some(sending) if transport.slots.iter().any(video) => sending.estimate(),
            _ => Bitrate::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::codec::FrameInfo;
    use crate::codec::red::Blocks;
    use crate::ids::TrackId;
    use crate::packet::PassThrough;

    const RED: u8 = 0;
    const OPUS: u8 = 1;

    fn codec(codec: Codec, payload_type: u8) -> ReceiveCodec {
        ReceiveCodec {
            payload_type,
            codec,
            clock_rate: 48_000,
            rtx_payload_type: None,
            nack: false,
            pli: false,
            fir: false,
            format: 1,
        }
    }

    fn packet(codec: u8, seq: u64, payload: &[u8]) -> SourcePacket {
        SourcePacket {
            track: TrackId(1),
            layer: 0,
            codec,
            ext_seq: 70_000 + seq,
            timestamp: 960 * seq as u32,
            marker: false,
            late: false,
            restart: false,
            arrival: Instant::now(),
            frame: FrameInfo::unknown(true),
            extensions: PassThrough::default(),
            form: Form::Published,
            described: None,
            payload: payload.to_vec(),
        }
    }

    /// What each packet becomes, as form, codec and payload.
    fn derived(
        redundancy: &mut Redundancy,
        packet: &SourcePacket,
        forms: &[Form],
    ) -> Vec<(Form, u8, u64, Vec<u8>)> {
        let fanout: Vec<Fanout> = forms
            .iter()
            .map(|form| Fanout { slot: 0, receiver: 0, layers: 1, form: *form })
            .collect();
        let (mut pool, mut turn) = (PacketPool::default(), Vec::new());
        redundancy.observe(packet);
        redundancy.derive(0, packet, &fanout, &mut pool, &mut turn).unwrap();
        let parts = |packet: &SourcePacket| {
            (packet.form, packet.codec, packet.ext_seq - 70_000, packet.payload.clone())
        };
        turn.iter().map(|(_, packet)| parts(packet)).collect()
    }

    #[test]
    fn publisher_may_change_between_red_and_plain_at_any_packet() {
        let codecs = [codec(Codec::Red, 63), codec(Codec::Opus, 111)];
        let mut redundancy = Redundancy::new(&codecs, false).unwrap();
        let forms = [Form::Published, Form::Unwrapped, Form::Unwrapped];
        let unwrapped = |seq, byte| (Form::Unwrapped, OPUS, seq, vec![byte; 2]);
        let mut see = |packet: SourcePacket| derived(&mut redundancy, &packet, &forms);
        assert_eq!(see(packet(RED, 0, &[111, 7, 7])), [unwrapped(0, 7)]);
        assert_eq!(see(packet(OPUS, 1, &[8, 8])), [], "plain goes as it is");
        let header = (1 << 31 | 111 << 24 | 960u32 << 10 | 2).to_be_bytes();
        let payload =
            |before: u8, this: u8| [&header[..], &[111], &[before; 2], &[this; 2]].concat();
        assert_eq!(see(packet(RED, 2, &payload(8, 9))), [unwrapped(2, 9)], "known already");
        assert_eq!(see(packet(RED, 4, &payload(10, 11))), [unwrapped(3, 10), unwrapped(4, 11)]);
        assert!(redundancy.published_red());
        for seq in 5..60 {
            redundancy.observe(&packet(OPUS, seq, &[1, 1]));
        }
        assert!(!redundancy.published_red(), "it stays with plain");
    }

    #[test]
    fn each_kind_of_receiver_gets_one_packet_for_one() {
        let mut redundancy = Redundancy::new(&[codec(Codec::Opus, 111)], false).unwrap();
        let near = Form::Wrapped { distance: 1, opus: 111 };
        let far = Form::Wrapped { distance: 2, opus: 109 };
        let forms = [near, Form::Published, far, near];
        let first = derived(&mut redundancy, &packet(0, 1, &[0xF8, 1]), &forms);
        assert_eq!(
            first,
            [(near, 0, 1, vec![0xF8, 1]), (far, 0, 1, vec![0xF8, 1])],
            "nothing to repeat"
        );
        derived(&mut redundancy, &packet(0, 2, &[0xF8, 2]), &forms);
        let third = derived(&mut redundancy, &packet(0, 3, &[0xF8, 3]), &forms);
        let blocks = |at: usize| {
            let (_, codec, seq, payload) = &third[at];
            assert_eq!((*codec, *seq), (WRAPPED, 3));
            let blocks = Blocks::parse(payload).unwrap();
            (blocks.primary().payload_type, blocks.redundant().len())
        };
        assert_eq!((third.len(), blocks(0), blocks(1)), (2, (111, 1), (109, 2)));
        let late = SourcePacket { late: true, ..packet(0, 2, &[0xF8, 2]) };
        let again = derived(&mut redundancy, &late, &[near]);
        assert_eq!(again, [(near, 0, 2, vec![0xF8, 2])], "a late one goes plain");
    }

    #[test]
    fn encrypted_sound_is_left_alone() {
        let codecs = [codec(Codec::Red, 63), codec(Codec::Opus, 111)];
        assert!(Redundancy::new(&codecs, true).is_none());
        assert!(Redundancy::new(&[codec(Codec::Vp8, 96)], false).is_none());
    }
}
