//! In which form a slot gets a track's audio: as published, unwrapped from RED, or wrapped.

use super::Slot;
use crate::codec::Codec;
use crate::codec::red_policy::{AudioForm, AudioLink};
use crate::command::{MediaKind, SendCodec};
use crate::packet::{Form, SourcePacket, WRAPPED};
use crate::slot::PayloadTypes;
use crate::track::Track;
use crate::units::Bitrate;

/// Weight of the newest report in the loss: reports are of few packets.
const SMOOTHING: f32 = 0.5;

/// From this priority on a voice is wanted for its own sake; see `allocator::TOP_PRIORITY`.
const PIN_PRIORITY: u8 = 200;

impl Slot {
    /// The receiver reported that it lost this part of the packets, of 256.
    pub(crate) fn on_loss(&mut self, fraction_lost: u8) {
        self.loss += (f32::from(fraction_lost) / 256.0 - self.loss) * SMOOTHING;
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
