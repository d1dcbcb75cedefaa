//! One published packet on its way to everybody who gets it.

use std::sync::Arc;
use std::time::Instant;

use crate::codec::FrameInfo;
use crate::codec::dependency_descriptor::Dependency;
use crate::ids::TrackId;

/// Packets kept for reuse by one worker beyond those in caches.
const MAX_POOLED: usize = 1024;

/// Header extensions that subscribers get as the publisher sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassThrough {
    /// `ssrc-audio-level`: voice activity bit and level in -dBov (RFC 6464).
    pub audio_level: Option<u8>,
    /// `3gpp:video-orientation`.
    pub orientation: Option<u8>,
    /// `abs-capture-time`: NTP stamp on our wall clock, and the publisher's estimate of how far its
    /// clock is from the capturing system's (32.32 s).
    pub capture_time: Option<(u64, Option<i64>)>,
}

impl PassThrough {
    /// The value of `abs-capture-time`: its bytes and how many count.
    pub(crate) fn capture_time_bytes(&self) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        let Some((captured, offset)) = self.capture_time else { return (bytes, 0) };
        bytes[..8].copy_from_slice(&captured.to_be_bytes());
        let Some(offset) = offset else { return (bytes, 8) };
        bytes[8..].copy_from_slice(&offset.to_be_bytes());
        (bytes, 16)
    }
}

/// Index of a codec that the track does not have: RED made here of its Opus.
pub const WRAPPED: u8 = u8::MAX;

/// What was done to a packet's payload since it was published; each receiver gets one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Form {
    /// Nothing.
    #[default]
    Published,
    /// Opus was taken out of RED.
    Unwrapped,
    /// For readers of the source only: nobody wants to hear it.
    Withheld,
    /// As published; sent late, before the packet with which its voice was noticed.
    Onset,
    /// Opus, in RED where something was there to repeat.
    Wrapped {
        /// Packets repeated at most.
        distance: u8,
        /// Payload type of Opus inside.
        opus: u8,
    },
}

/// A dependency descriptor, resolved once for all subscribers.
#[derive(Clone, Debug)]
pub struct Described {
    /// What it says.
    pub dependency: Dependency,
    /// The header extension it was read from.
    pub extension: Vec<u8>,
}

/// A decrypted media packet of one layer with source numbering. Never changed once it is shared.
#[derive(Clone, Debug)]
pub struct SourcePacket {
    /// Published track.
    pub track: TrackId,
    /// Index into its layers.
    pub layer: u8,
    /// Index into its codecs.
    pub codec: u8,
    /// Extended sequence number; rises over restarts of the source.
    pub ext_seq: u64,
    /// RTP timestamp of the source.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// It came again after a loss, by RTX or out of order.
    pub late: bool,
    /// The source began to count anew here: continue like after a layer switch.
    pub restart: bool,
    /// When its batch was received.
    pub arrival: Instant,
    /// Frame borders, layers, keyframes.
    pub frame: FrameInfo,
    /// Extensions to be forwarded.
    pub extensions: PassThrough,
    /// Whether it is the published one.
    pub form: Form,
    /// The dependency descriptor, where layers are told by it.
    pub described: Option<Box<Described>>,
    /// Payload without RTP padding.
    pub payload: Vec<u8>,
}

impl SourcePacket {
    /// It has a payload, as the publisher sent it.
    pub(crate) fn is_published_media(&self) -> bool {
        self.form == Form::Published && !self.payload.is_empty()
    }

    /// All its fields, to make another one of it.
    pub(crate) fn without_payload(&self) -> Self {
        let described = self.described.clone();
        Self { described, payload: Vec::new(), ..*self }
    }
}

/// Packets nobody holds any more, with their memory.
#[derive(Debug, Default)]
pub(crate) struct PacketPool {
    free: Vec<Arc<SourcePacket>>,
}

impl PacketPool {
    /// Takes back a packet; its memory is used again if nobody else holds it.
    pub(crate) fn give(&mut self, mut packet: Arc<SourcePacket>) {
        if self.free.len() < MAX_POOLED && Arc::get_mut(&mut packet).is_some() {
            self.free.push(packet);
        }
    }

    /// A shared packet with these fields and a copy of `payload`.
    pub(crate) fn share(&mut self, fields: SourcePacket, payload: &[u8]) -> Arc<SourcePacket> {
        while let Some(mut shared) = self.free.pop() {
            if let Some(packet) = Arc::get_mut(&mut shared) {
                let mut memory = std::mem::take(&mut packet.payload);
                memory.clear();
                memory.extend_from_slice(payload);
                *packet = SourcePacket { payload: memory, ..fields };
                return shared;
            }
        }
        Arc::new(SourcePacket { payload: payload.to_vec(), ..fields })
    }
}
