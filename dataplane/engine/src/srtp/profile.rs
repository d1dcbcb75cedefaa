//! Lengths that follow from the profile, and what can be wrong with keys.

use airside_dtls::SrtpProfile;

/// Room that a buffer must have behind the plaintext, whatever the profile: GCM tag and SRTCP
/// index.
pub const MAX_TRAILER_LEN: usize = GCM_TAG_LEN + INDEX_LEN;

pub(super) const GCM_TAG_LEN: usize = 16;
/// 80 bits: the `_80` of the profile's name.
pub(super) const SHA1_TAG_LEN: usize = 10;
/// SRTCP's E flag and index.
pub(super) const INDEX_LEN: usize = 4;

/// Why no context could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Master key or salt are not as long as the profile wants: our own mistake.
    #[error("master key or salt has the wrong length for its profile")]
    KeyLength,
    /// OpenSSL has no such cipher or no memory.
    #[error("the crypto library refused the key")]
    Crypto,
}

impl From<openssl::error::ErrorStack> for SrtpError {
    fn from(_: openssl::error::ErrorStack) -> Self {
        Self::Crypto
    }
}

/// Bytes that protection adds to an RTP packet.
pub(super) fn rtp_tag_len(profile: SrtpProfile) -> usize {
    match profile {
        SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => GCM_TAG_LEN,
        SrtpProfile::Aes128CmSha1_80 => SHA1_TAG_LEN,
    }
}
