//! Session keys from master keys (RFC 3711 section 4.3, RFC 6188 for 256 bits).

use airside_dtls::SrtpProfile;
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;

use super::profile::SrtpError;

/// AES-CM salts; GCM's 12 bytes are used with zeros appended (RFC 7714, section 11).
const SALT_LEN: usize = 14;
const MAX_KEY_LEN: usize = 32;
const AUTH_KEY_LEN: usize = 20;
/// Place of the label in the counter block: it is XORed in above a 48-bit index that is 0.
const LABEL_AT: usize = 7;

/// Which of the two protocols a session key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Rtp,
    Rtcp,
}

impl Protocol {
    /// Of the cipher key; authentication key and salt follow.
    fn first_label(self) -> u8 {
        match self {
            Self::Rtp => 0,
            Self::Rtcp => 3,
        }
    }
}

/// Keys of one protocol in one direction. Overwritten with zeros when dropped.
pub(super) struct SessionKeys {
    key: [u8; MAX_KEY_LEN],
    key_len: usize,
    pub(super) auth_key: [u8; AUTH_KEY_LEN],
    pub(super) salt: [u8; SALT_LEN],
}

impl SessionKeys {
    /// # Errors
    /// [`SrtpError::KeyLength`] if key or salt do not fit the profile.
    pub(super) fn derive(
        profile: SrtpProfile,
        protocol: Protocol,
        master_key: &[u8],
        master_salt: &[u8],
    ) -> Result<Self, SrtpError> {
        let key_len = profile.key_len();
        if master_key.len() != key_len || master_salt.len() != profile.salt_len() {
            return Err(SrtpError::KeyLength);
        }
        let cipher = match profile {
            SrtpProfile::AeadAes256Gcm => Cipher::aes_256_ctr(),
            SrtpProfile::AeadAes128Gcm | SrtpProfile::Aes128CmSha1_80 => Cipher::aes_128_ctr(),
        };
        let mut prf = CipherCtx::new()?;
        prf.encrypt_init(Some(cipher), Some(master_key), None)?;
        let label = protocol.first_label();
        let mut keys = Self {
            key: [0; MAX_KEY_LEN],
            key_len,
            auth_key: [0; AUTH_KEY_LEN],
            salt: [0; SALT_LEN],
        };
        generate(&mut prf, master_salt, label, &mut keys.key[..key_len])?;
        generate(&mut prf, master_salt, label + 1, &mut keys.auth_key)?;
        generate(&mut prf, master_salt, label + 2, &mut keys.salt)?;
        Ok(keys)
    }

    /// Session keys given directly, as published vectors have them.
    #[cfg(test)]
    pub(super) fn of(session_key: &[u8], session_salt: &[u8]) -> Self {
        let mut keys = Self {
            key: [0; MAX_KEY_LEN],
            key_len: session_key.len(),
            auth_key: [0; AUTH_KEY_LEN],
            salt: [0; SALT_LEN],
        };
        keys.key[..session_key.len()].copy_from_slice(session_key);
        keys.salt[..session_salt.len()].copy_from_slice(session_salt);
        keys
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key[..self.key_len]
    }
}

impl Drop for SessionKeys {
    fn drop(&mut self) {
        self.key.fill(0);
        self.auth_key.fill(0);
        self.salt.fill(0);
        // Without it the compiler may see that nobody reads the zeros.
        std::hint::black_box(&self);
    }
}

/// AES in counter mode over zeros, the counter block made of salt and label.
fn generate(
    prf: &mut CipherCtx,
    master_salt: &[u8],
    label: u8,
    out: &mut [u8],
) -> Result<(), SrtpError> {
    let mut counter = [0; 16];
    counter[..master_salt.len()].copy_from_slice(master_salt);
    counter[LABEL_AT] ^= label;
    prf.encrypt_init(None, None, Some(&counter))?;
    let len = out.len();
    prf.cipher_update_inplace(out, len)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// RFC 3711, appendix B.3.
    #[test]
    fn rfc3711_key_derivation() {
        let key = hex("e1f97a0d3e018be0d64fa32c06de4139");
        let salt = hex("0ec675ad498afeebb6960b3aabe6");
        let keys =
            SessionKeys::derive(SrtpProfile::Aes128CmSha1_80, Protocol::Rtp, &key, &salt).unwrap();
        assert_eq!(keys.key(), hex("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(keys.salt[..], hex("30cbbc08863d8c85d49db34a9ae1"));
        assert_eq!(keys.auth_key[..], hex("cebe321f6ff7716b6fd4ab49af256a156d38baa4"));
    }

    /// RFC 6188, section 7.2.
    #[test]
    fn rfc6188_key_derivation() {
        let key = hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
        let mut prf = CipherCtx::new().unwrap();
        prf.encrypt_init(Some(Cipher::aes_256_ctr()), Some(&key), None).unwrap();
        let salt = hex("3b04803de51ee7c96423ab5b78d2");
        let mut out = [0; 32];
        generate(&mut prf, &salt, 0, &mut out).unwrap();
        assert_eq!(
            out[..],
            hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4")
        );
        let mut out = [0; 14];
        generate(&mut prf, &salt, 2, &mut out).unwrap();
        assert_eq!(out[..], hex("fa31791685ca444a9e07c6c64e93"));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for profile in SrtpProfile::PREFERENCE {
            let (key, salt) = (vec![0; profile.key_len()], vec![0; profile.salt_len()]);
            let derive = |key: &[u8], salt: &[u8]| {
                SessionKeys::derive(profile, Protocol::Rtcp, key, salt).map(|_| ())
            };
            assert_eq!(derive(&key, &salt), Ok(()));
            assert_eq!(derive(&key[1..], &salt), Err(SrtpError::KeyLength));
            assert_eq!(derive(&key, &salt[1..]), Err(SrtpError::KeyLength));
            assert_eq!(derive(&key, &[]), Err(SrtpError::KeyLength));
        }
    }
}
