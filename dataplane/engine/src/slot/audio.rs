//! In which form a slot gets a track's audio: as published, unwrapped from RED, or wrapped.

use std::time::Duration;

use super::Slot;
use crate::codec::Codec;
use crate::codec::red_policy::{AudioForm, AudioLink};
use crate::command::{MediaKind, SendCodec};
use crate::nack::MAX_AUDIO_RTT;
use crate::packet::{Form, SourcePacket, WRAPPED};
use crate::redundancy::Redundancy;
use crate::slot::PayloadTypes;
use crate::track::Track;
use crate::units::Bitrate;

/// Weight of the newest report in the loss: reports are of few packets.
const SMOOTHING: f32 = 0.5;

/// From this priority on a voice is wanted for its own sake; see `allocator::TOP_PRIORITY`.
const PIN_PRIORITY: u8 = 200;

impl Slot {
    /// The receiver reported that it lost this part of the packets, of 256. What came to it by
    /// repetition was lost too, but it counts that as received.
    pub(crate) fn on_loss(&mut self, fraction_lost: u8) {
        let repeated = std::mem::take(&mut self.repeated) as f32;
        let sent = self.stats.packets - self.packets_at_report;
        self.packets_at_report = self.stats.packets;
        let lost = f32::from(fraction_lost) / 256.0 + repeated / sent.max(1) as f32;
        self.loss += (lost.min(1.0) - self.loss) * SMOOTHING;
    }

    /// Whether a packet that the receiver asks for is to be repeated: of video always; of sound, where
    /// it can come in time, and no redundancy brings it anyway.
    pub(crate) fn is_repeated(&self, track: &Track, rtt: Duration) -> bool {
        let published_red = track.redundancy.as_ref().is_some_and(Redundancy::published_red);
        self.kind == MediaKind::Video || rtt <= MAX_AUDIO_RTT && self.redundancy(published_red) == 0
    }

    /// Chooses the form anew, from what the receiver takes and loses and what is left for it.
    pub(crate) fn follow_form(&mut self, track: &Track, estimate: Bitrate) -> Form {
        let Some(redundancy) = track.redundancy.as_ref().filter(|_| self.kind == MediaKind::Audio)
        else {
            self.form = Form::Published;
            return self.form;
        };
        let payload_type = |codec| {
            let find = |known: &&SendCodec| known.codec == codec;
            self.codecs.iter().find(find).map(|codec| codec.payload_type)
        };
        let opus = payload_type(Codec::Opus);
        let red = payload_type(Codec::Red);
        let published_red = redundancy.published_red();
        // What is inside goes unchanged, so both must call it the same.
        let same = opus == Some(redundancy.opus_payload_type());
        let link = AudioLink {
            encrypted: false,
            published_red,
            takes_red: red.is_some() && (same || !published_red),
            takes_opus: opus.is_some(),
            loss: self.loss,
            estimate,
        };
        let now = match self.form {
            Form::Published | Form::Withheld | Form::Onset => AudioForm::AsPublished,
            Form::Unwrapped => AudioForm::Unwrapped,
            Form::Wrapped { distance, .. } => AudioForm::Wrapped { distance },
        };
        self.form = match (link.form(now), opus) {
            (Some(AudioForm::Unwrapped), _) => Form::Unwrapped,
            (Some(AudioForm::Wrapped { distance }), Some(opus)) => Form::Wrapped { distance, opus },
            _ => Form::Published,
        };
        self.form
    }

    /// How many packets before it each of its packets of sound repeats.
    pub(crate) fn redundancy(&self, published_red: bool) -> u8 {
        match self.form {
            Form::Published | Form::Withheld | Form::Onset => published_red.into(),
            Form::Unwrapped => 0,
            Form::Wrapped { distance, .. } => distance,
        }
    }

    /// It asks for this voice in particular, whoever else speaks.
    pub(crate) fn pins(&self) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.wish.priority >= PIN_PRIORITY)
    }

    /// Whether the packet has the form that this slot gets. Padding has none.
    #[inline]
    pub(crate) fn takes(&self, packet: &SourcePacket) -> bool {
        packet.form == self.form
            || packet.payload.is_empty()
            || self.form == Form::Published && packet.form == Form::Onset
            || self.form == Form::Unwrapped
                && packet.form == Form::Published
                && !self.is_red(packet.codec)
    }

    fn is_red(&self, codec: u8) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.red == Some(codec))
    }

    /// Under which payload types a packet goes out; None: the subscriber does not take its codec.
    #[inline]
    pub(super) fn types_of(&self, packet: &SourcePacket) -> Option<PayloadTypes> {
        if packet.codec == WRAPPED {
            let red = self.codecs.iter().find(|codec| codec.codec == Codec::Red)?;
            return Some(PayloadTypes { media: red.payload_type, rtx: None });
        }
        self.bound.as_ref()?.payload_types.get(usize::from(packet.codec)).copied().flatten()
    }
}
