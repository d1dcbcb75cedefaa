//! Kinds of extension, and their ids on one transport.

/// A header extension that we know by its URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExtensionKind {
    /// SDES mid: names the media section (RFC 9143).
    Mid,
    /// SDES rtp-stream-id: names the simulcast layer (RFC 8852).
    Rid,
    /// SDES repaired-rtp-stream-id: the layer that this RTX stream repairs (RFC 8852).
    RepairedRid,
    /// When the packet left, 24 bits of 6.18 seconds.
    AbsSendTime,
    /// Number of the packet among all of the transport.
    TransportCc,
    /// Loudness of the audio within (RFC 6464).
    AudioLevel,
    /// Bounds for the receiver's jitter buffer.
    PlayoutDelay,
    /// Layer structure of AV1, and of VP9 where negotiated.
    DependencyDescriptor,
    /// Rotation of the picture (3GPP TS 26.114).
    VideoOrientation,
    /// When the sample was captured.
    AbsCaptureTime,
    /// Rates and sizes of the publisher's layers.
    VideoLayersAllocation,
    /// Camera or screen.
    ContentType,
    /// Colour primaries, HDR.
    ColorSpace,
    /// Times inside the sender's video pipeline.
    Timing,
    /// Offset of sending from sampling (RFC 5450).
    Toffset,
}

impl ExtensionKind {
    /// Every kind, in the order of their discriminants.
    pub const ALL: [Self; 15] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AbsSendTime,
        Self::TransportCc,
        Self::AudioLevel,
        Self::PlayoutDelay,
        Self::DependencyDescriptor,
        Self::VideoOrientation,
        Self::AbsCaptureTime,
        Self::VideoLayersAllocation,
        Self::ContentType,
        Self::ColorSpace,
        Self::Timing,
        Self::Toffset,
    ];
    /// How many kinds there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The URI by which SDP negotiates it.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::VideoLayersAllocation => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
            }
            Self::ContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Self::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Self::Timing => "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            Self::Toffset => "urn:ietf:params:rtp-hdrext:toffset",
        }
    }

    /// The kind of a URI; None for one that we do not know.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Which id means which extension on one transport (ids are shared by a BUNDLE group).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionMap {
    by_id: [Option<ExtensionKind>; 256],
    /// 0 where the kind was not negotiated.
    by_kind: [u8; ExtensionKind::COUNT],
    two_byte_allowed: bool,
}

impl Default for ExtensionMap {
    fn default() -> Self {
        Self { by_id: [None; 256], by_kind: [0; ExtensionKind::COUNT], two_byte_allowed: false }
    }
}

impl ExtensionMap {
    /// Without any extension, and without the right to send two-byte elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether both sides agreed on `a=extmap-allow-mixed`.
    #[must_use]
    pub fn with_two_byte(mut self, allowed: bool) -> Self {
        self.two_byte_allowed = allowed;
        self
    }

    /// Gives `kind` the id `id`. An id or kind that was there before is replaced.
    ///
    /// Returns false, and changes nothing, for the ids 0 and 15, which no extension may have.
    pub fn insert(&mut self, id: u8, kind: ExtensionKind) -> bool {
        if id == 0 || id == super::RESERVED_ID {
            return false;
        }
        if let Some(old_kind) = self.by_id[usize::from(id)].replace(kind) {
            self.by_kind[old_kind as usize] = 0;
        }
        let old_id = std::mem::replace(&mut self.by_kind[kind as usize], id);
        if old_id != 0 && old_id != id {
            self.by_id[usize::from(old_id)] = None;
        }
        true
    }

    /// What `id` means here.
    #[must_use]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        self.by_id[usize::from(id)]
    }

    /// The id of `kind`, if it was negotiated.
    #[must_use]
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        match self.by_kind[kind as usize] {
            0 => None,
            id => Some(id),
        }
    }

    /// Whether we may send two-byte elements. Receiving them is always possible.
    #[must_use]
    pub fn two_byte_allowed(&self) -> bool {
        self.two_byte_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_distinct_and_lead_back() {
        for (at, kind) in ExtensionKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
        }
        assert_eq!(ExtensionKind::from_uri("urn:x"), None);
    }

    #[test]
    fn ids_and_kinds_stay_one_to_one() {
        let mut map = ExtensionMap::new();
        assert!(map.insert(1, ExtensionKind::Mid));
        assert!(map.insert(2, ExtensionKind::Rid));
        assert!(map.insert(2, ExtensionKind::Mid));
        assert_eq!(map.id(ExtensionKind::Mid), Some(2));
        assert_eq!(map.id(ExtensionKind::Rid), None);
        assert_eq!((map.kind(1), map.kind(2)), (None, Some(ExtensionKind::Mid)));
        assert!(map.insert(2, ExtensionKind::Mid));
        assert_eq!(map.kind(2), Some(ExtensionKind::Mid));
        assert!(map.insert(255, ExtensionKind::Toffset));
        assert!(!map.insert(0, ExtensionKind::Rid));
        assert!(!map.insert(15, ExtensionKind::Rid));
    }
}
