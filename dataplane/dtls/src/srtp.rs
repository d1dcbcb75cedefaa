//! SRTP protection profiles and the keys that a handshake yields (RFC 5764, RFC 7714).

use std::fmt;

/// A protection profile that we offer or accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// AEAD_AES_128_GCM (RFC 7714): one hardware-accelerated pass. Our first choice.
    AeadAes128Gcm,
    /// AES128_CM_HMAC_SHA1_80 (RFC 5764): what every WebRTC endpoint has.
    Aes128CmSha1_80,
    /// AEAD_AES_256_GCM (RFC 7714): for peers that have only this one.
    AeadAes256Gcm,
}

impl SrtpProfile {
    /// Our order. As server the first one that the client has is taken, whatever its own order.
    pub const PREFERENCE: [SrtpProfile; 3] =
        [SrtpProfile::AeadAes128Gcm, SrtpProfile::Aes128CmSha1_80, SrtpProfile::AeadAes256Gcm];

    /// Number in the IANA registry "DTLS-SRTP Protection Profiles".
    #[must_use]
    pub fn iana(self) -> u16 {
        match self {
            SrtpProfile::Aes128CmSha1_80 => 0x0001,
            SrtpProfile::AeadAes128Gcm => 0x0007,
            SrtpProfile::AeadAes256Gcm => 0x0008,
        }
    }

    /// Bytes of one master key.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmSha1_80 => 16,
            SrtpProfile::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of one master salt.
    #[must_use]
    pub fn salt_len(self) -> usize {
        match self {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => 12,
            SrtpProfile::Aes128CmSha1_80 => 14,
        }
    }

    /// Bytes to export: two keys and two salts.
    #[must_use]
    pub fn keying_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    fn openssl_name(self) -> &'static str {
        match self {
            SrtpProfile::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            SrtpProfile::Aes128CmSha1_80 => "SRTP_AES128_CM_SHA1_80",
            SrtpProfile::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    pub(crate) fn from_openssl_name(name: &str) -> Option<SrtpProfile> {
        Self::PREFERENCE.into_iter().find(|profile| profile.openssl_name() == name)
    }

    pub(crate) fn openssl_list(profiles: &[SrtpProfile]) -> String {
        profiles.iter().map(|profile| profile.openssl_name()).collect::<Vec<_>>().join(":")
    }
}

/// What the handshake agreed for SRTP. Overwritten with zeros when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeying {
    profile: SrtpProfile,
    material: Vec<u8>,
}

impl SrtpKeying {
    pub(crate) fn new(profile: SrtpProfile, material: Vec<u8>) -> Self {
        debug_assert_eq!(material.len(), profile.keying_len());
        Self { profile, material }
    }

    /// The profile agreed on.
    #[must_use]
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Everything the exporter gave: client key, server key, client salt, server salt
    /// (RFC 5764, section 4.2).
    #[must_use]
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// Master key and salt of what the DTLS client sends.
    #[must_use]
    pub fn client(&self) -> (&[u8], &[u8]) {
        self.half(0)
    }

    /// Master key and salt of what the DTLS server sends.
    #[must_use]
    pub fn server(&self) -> (&[u8], &[u8]) {
        self.half(1)
    }

    fn half(&self, index: usize) -> (&[u8], &[u8]) {
        let (key, salt) = (self.profile.key_len(), self.profile.salt_len());
        let (keys, salts) = self.material.split_at(2 * key);
        (&keys[index * key..][..key], &salts[index * salt..][..salt])
    }
}

impl fmt::Debug for SrtpKeying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeying").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Drop for SrtpKeying {
    fn drop(&mut self) {
        self.material.fill(0);
        // Without it the compiler may see that nobody reads the zeros.
        std::hint::black_box(&self.material);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_splits_in_the_order_of_rfc_5764() {
        for profile in SrtpProfile::PREFERENCE {
            let material: Vec<u8> = (0..=u8::MAX).take(profile.keying_len()).collect();
            let keying = SrtpKeying::new(profile, material.clone());
            let (client, server) = (keying.client(), keying.server());
            assert_eq!([client.0, server.0, client.1, server.1].concat(), material);
            assert_eq!(client.0.len(), profile.key_len());
            assert_eq!(server.1.len(), profile.salt_len());
        }
        assert_eq!(SrtpProfile::AeadAes128Gcm.keying_len(), 56);
        assert_eq!(SrtpProfile::Aes128CmSha1_80.keying_len(), 60);
    }

    #[test]
    fn debug_text_holds_no_key() {
        let keying = SrtpKeying::new(SrtpProfile::AeadAes128Gcm, vec![0xAB; 56]);
        assert!(!format!("{keying:?}").contains("171"));
    }
}
