//! The receive side of one layer: its numbers, repair, reception and cache.

use std::sync::Arc;
use std::time::Instant;

use crate::cache::{
    AUDIO_PACKETS, Cache, Inserted, LOW_LAYER_PACKETS, MIDDLE_LAYER_PACKETS, TOP_LAYER_PACKETS,
};
use crate::codec::{Codec, FrameInfo, Inspector, Keyframe};
use crate::command::{LayerSpec, MediaKind, ReceiveCodec};
use crate::error::DropReason;
use crate::keyframe::{KeyframeRequester, Way};
use crate::layers::liveness::{Liveness, StreamKind};
use crate::nack::{Action, NackGenerator};
use crate::packet::{Described, PacketPool, SourcePacket};
use crate::quality::LayerMeter;
use crate::reception::Reception;
use crate::rtp::ShortName;
use crate::sender::SourceClock;
use crate::seq_num::{SeqStatus, SeqTracker};

/// From this height on keyframes are asked for less often.
const LARGE_HEIGHT_PX: u16 = 720;

/// What has been received of a layer.
#[derive(Debug, Default)]
pub(crate) struct LayerStats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) keyframes: u64,
    /// Packets that came after they had been asked for again.
    pub(crate) repaired: u64,
    pub(crate) nacks_sent: u64,
    pub(crate) keyframe_requests: u64,
}

/// State of one layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) rid: Option<ShortName>,
    pub(crate) ssrc: Option<u32>,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) height_px: u16,
    /// Index into the track's codecs of what it sends now.
    pub(crate) codec: Option<u8>,
    seq: SeqTracker,
    inspector: Option<Inspector>,
    /// Present once a codec with NACK was seen.
    pub(crate) nack: Option<NackGenerator>,
    pub(crate) reception: Reception,
    pub(crate) meter: LayerMeter,
    pub(crate) cache: Cache<Arc<SourcePacket>>,
    pub(crate) keyframe: KeyframeRequester,
    /// Its newest sender report.
    pub(crate) clock: Option<SourceClock>,
    pub(crate) liveness: Liveness,
    /// Highest number that has been kept or was padding.
    newest: Option<u64>,
    /// The next packet is told apart from what came before, like after a restart of the source.
    restart_next: bool,
    pub(crate) stats: LayerStats,
}

/// Where a packet stands, once its layer has taken it in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed {
    pub(crate) ext_seq: u64,
    /// It is not the newest.
    pub(crate) late: bool,
    /// Numbers begin anew with it.
    pub(crate) restart: bool,
    /// What to do about missing ones.
    pub(crate) action: Action,
}

impl Layer {
    /// `from_top`: how many layers are above this one.
    pub(crate) fn new(
        spec: &LayerSpec,
        kind: MediaKind,
        life: StreamKind,
        from_top: usize,
        clock_rate: u32,
    ) -> Self {
        let cached = match (kind, from_top) {
            (MediaKind::Audio, _) => AUDIO_PACKETS,
            (MediaKind::Video, 0) => TOP_LAYER_PACKETS,
            (MediaKind::Video, 1) => MIDDLE_LAYER_PACKETS,
            (MediaKind::Video, _) => LOW_LAYER_PACKETS,
        };
        let large = spec.height_px >= LARGE_HEIGHT_PX;
        Self {
            rid: spec.rid.as_ref().and_then(|rid| ShortName::new(rid.as_bytes())),
            ssrc: spec.ssrc,
            rtx_ssrc: spec.rtx_ssrc,
            height_px: spec.height_px,
            codec: None,
            seq: SeqTracker::default(),
            inspector: None,
            nack: None,
            reception: Reception::new(clock_rate, kind == MediaKind::Video),
            meter: LayerMeter::default(),
            cache: Cache::new(cached),
            keyframe: KeyframeRequester::new(large),
            clock: None,
            liveness: Liveness::new(life),
            newest: None,
            restart_next: false,
            stats: LayerStats::default(),
        }
    }

    /// Packets come.
    pub(crate) fn is_live(&self) -> bool {
        self.liveness.alive_since().is_some()
    }

    /// Another SSRC takes over; its numbers have nothing to do with those before.
    pub(crate) fn begin_anew(&mut self) {
        self.seq.begin_anew();
    }

    /// Packets were left out for everybody (mute): what comes next does not join on.
    pub(crate) fn interrupt(&mut self) {
        self.restart_next = true;
        if let Some(nack) = &mut self.nack {
            nack.clear();
        }
    }

    fn forget_past(&mut self) {
        self.inspector = None;
        self.cache.clear();
        self.clock = None;
        self.reception.restart();
        if let Some(nack) = &mut self.nack {
            nack.clear();
        }
    }

    /// Follows the payload type: codec, and whether repair is asked for.
    pub(crate) fn use_codec(&mut self, index: u8, codec: &ReceiveCodec) {
        if self.codec == Some(index) {
            return;
        }
        self.codec = Some(index);
        self.inspector = Some(Inspector::new(codec.codec));
        self.keyframe.set_way(Way::agreed(codec.pli, codec.fir));
        let video = codec.codec.is_video();
        let generator = if video { NackGenerator::video } else { NackGenerator::audio };
        self.nack = codec.nack.then(generator);
    }

    /// Something is missing, and will be asked for.
    pub(crate) fn misses_packets(&self) -> bool {
        self.nack.as_ref().is_some_and(|nack| nack.poll_timeout().is_some())
    }

    /// A packet on the media SSRC.
    pub(crate) fn place(
        &mut self,
        sequence: u16,
        timestamp: u32,
        now: Instant,
    ) -> Result<Placed, DropReason> {
        let placed = match self.seq.on_packet(sequence) {
            SeqStatus::Newest { ext, missing } => {
                let action = match &mut self.nack {
                    Some(nack) => nack.on_newest(ext, missing, now),
                    None => Action::Wait,
                };
                Placed { ext_seq: ext, late: false, restart: false, action }
            }
            SeqStatus::Late { ext } => {
                self.on_late(ext, false, now);
                Placed { ext_seq: ext, late: true, restart: false, action: Action::Wait }
            }
            SeqStatus::Restart { ext } => {
                self.forget_past();
                Placed { ext_seq: ext, late: false, restart: true, action: Action::Wait }
            }
            SeqStatus::Suspect => return Err(DropReason::TooOld),
        };
        self.reception.on_packet(placed.ext_seq, timestamp, now);
        let restart = placed.restart || (!placed.late && std::mem::take(&mut self.restart_next));
        Ok(Placed { restart, ..placed })
    }

    /// Highest extended number so far.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The next packet of a source on this machine: none is ever lost.
    pub(crate) fn place_next(&mut self, timestamp: u32, now: Instant) -> Placed {
        let ext_seq = self.seq.advance();
        self.reception.on_packet(ext_seq, timestamp, now);
        let restart = std::mem::take(&mut self.restart_next);
        Placed { ext_seq, late: false, restart, action: Action::Wait }
    }

    /// A packet that came again by RTX, under its original number.
    pub(crate) fn place_repaired(
        &mut self,
        sequence: u16,
        now: Instant,
    ) -> Result<Placed, DropReason> {
        let ext = self.seq.extend_repaired(sequence).ok_or(DropReason::TooOld)?;
        self.on_late(ext, true, now);
        Ok(Placed { ext_seq: ext, late: true, restart: false, action: Action::Wait })
    }

    fn on_late(&mut self, ext: u64, repaired: bool, now: Instant) {
        if let Some(nack) = &mut self.nack
            && nack.on_late(ext, repaired, now)
            && repaired
        {
            self.stats.repaired += 1;
        }
    }

    /// What the payload is.
    pub(crate) fn inspect(
        &mut self,
        codec: Codec,
        payload: &[u8],
        descriptor: Option<&[u8]>,
        marker: bool,
        placed: &Placed,
    ) -> FrameInfo {
        let inspector = self.inspector.get_or_insert_with(|| Inspector::new(codec));
        let frame = inspector.inspect(payload, descriptor, marker, !placed.late);
        if frame.keyframe == Keyframe::Yes && codec.is_video() {
            if let Some(nack) = &mut self.nack {
                nack.on_keyframe(placed.ext_seq);
            }
            self.stats.keyframes += 1;
        }
        frame
    }

    /// The dependency descriptor of the packet inspected last, if layers are told by it.
    pub(crate) fn described(&self, extension: &[u8]) -> Option<Box<Described>> {
        let dependency = self.inspector.as_ref()?.dependency()?.clone();
        Some(Box::new(Described { dependency, extension: extension.to_vec() }))
    }

    /// Keeps a packet for retransmission; tells duplicates.
    pub(crate) fn keep(
        &mut self,
        packet: Arc<SourcePacket>,
        pool: &mut PacketPool,
    ) -> Result<(), DropReason> {
        self.newest = self.newest.max(Some(packet.ext_seq));
        let (inserted, left) = self.cache.exchange(packet.ext_seq, packet);
        if let Some(left) = left {
            pool.give(left);
        }
        match inserted {
            Inserted::New => Ok(()),
            Inserted::Duplicate => Err(DropReason::Duplicate),
            Inserted::TooOld => Err(DropReason::TooOld),
        }
    }
}
