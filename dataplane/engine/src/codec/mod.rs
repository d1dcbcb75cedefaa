//! Just enough of each codec to find frames, layers and keyframes. Nothing is decoded.
//!
//! At ingress one [`Inspector`] per published layer turns each packet into a [`FrameInfo`] that all
//! subscribers share. At egress one [`PayloadRewriter`] per subscription keeps VP8 and VP9 picture
//! ids continuous; [`dependency_descriptor::Rewriter`] does it for AV1 frame numbers.

pub mod av1;
mod bits;
pub mod dependency_descriptor;
pub mod h264;
pub mod h265;
mod inspector;
pub mod opus;
pub mod picture;
pub mod red;
pub mod red_decode;
pub mod red_encode;
pub mod red_policy;
mod rewriter;
pub mod vp8;
pub mod vp9;

pub use inspector::Inspector;
pub use rewriter::{PayloadRewriter, Prefix};

/// The bytes are not what the codec's payload format allows, or end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed codec payload")]
pub struct Malformed;

/// Codecs the engine knows. Others are not negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Opus (RFC 7587).
    Opus,
    /// Redundant audio data around Opus (RFC 2198).
    Red,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// H.264 (RFC 6184).
    H264,
    /// H.265 (RFC 7798).
    H265,
    /// AV1 (RTP payload format of the Alliance for Open Media).
    Av1,
}

impl Codec {
    /// From the encoding name of an `a=rtpmap` line, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [Codec; 7] =
            [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1];
        ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Encoding name as written in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Av1 => "AV1",
        }
    }

    /// Whether keyframes, layers and picture ids mean anything.
    #[must_use]
    pub fn is_video(self) -> bool {
        !matches!(self, Self::Opus | Self::Red)
    }

    /// RTP clock in ticks per second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        if self.is_video() { 90_000 } else { 48_000 }
    }
}

/// Whether forwarding may start at a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyframe {
    /// The first packet of a keyframe (for H.264 and H.265: of its parameter sets).
    Yes,
    /// Anything else: further packets of a keyframe, and all audio, which may start anywhere.
    No,
    /// The payload could not be read.
    Unknown,
}

/// What a packet is in its stream, as far as its payload tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// Whether forwarding may start here.
    pub keyframe: Keyframe,
    /// A frame (with spatial layers: a layer frame) starts here. For H.264 and H.265 also true at
    /// parameter sets and other units before the first slice.
    pub start: bool,
    /// The (layer) frame ends here.
    pub end: bool,
    /// Spatial layer within the SSRC; 0 for simulcast, whose layer is known by its rid.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// A receiver of lower temporal layers may take this one from here on (VP8 Y, VP9 U, ...).
    pub switch_up: bool,
    /// No other frame refers to this one.
    pub discardable: bool,
    /// What rewriting needs.
    pub detail: Detail,
}

impl FrameInfo {
    /// A packet about which nothing is known but that it may end a frame.
    #[must_use]
    pub fn unknown(marker: bool) -> Self {
        Self {
            keyframe: Keyframe::Unknown,
            start: false,
            end: marker,
            spatial: 0,
            temporal: 0,
            switch_up: false,
            discardable: false,
            detail: Detail::None,
        }
    }
}

/// Codec fields that differ between subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing to rewrite.
    None,
    /// VP8 payload descriptor.
    Vp8 {
        /// As parsed.
        descriptor: vp8::Descriptor,
        /// Unwrapped picture id, if there is one.
        picture: Option<u64>,
    },
    /// VP9 payload descriptor.
    Vp9 {
        /// As parsed.
        descriptor: vp9::Descriptor,
        /// Unwrapped picture id, if there is one.
        picture: Option<u64>,
    },
    /// AV1 with a dependency descriptor.
    Dependency {
        /// Unwrapped frame number.
        frame: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Codec::from_name("vp8"), Some(Codec::Vp8));
        assert_eq!(Codec::from_name("OPUS"), Some(Codec::Opus));
        assert_eq!(Codec::from_name("theora"), None);
        assert_eq!(Codec::Av1.clock_rate(), 90_000);
        assert_eq!(Codec::Red.clock_rate(), 48_000);
    }

    #[test]
    fn frame_info_stays_small_enough_to_copy_with_every_packet() {
        assert!(size_of::<FrameInfo>() <= 56, "{}", size_of::<FrameInfo>());
    }
}
