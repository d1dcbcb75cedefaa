//! The two suites: one pass of AES-GCM, or AES counter mode and HMAC-SHA1.
//!
//! Both work on a packet in the same terms: `clear` is authenticated only, `body` is encrypted as
//! well, `index` is the 48 bits of RTP (ROC and sequence number) or the 31 of SRTCP, and `extra`
//! is what is authenticated without standing in its usual place.

use airside_dtls::SrtpProfile;
use hmac::{Hmac, KeyInit, Mac};
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use sha1::Sha1;

use super::kdf::SessionKeys;
use super::profile::{GCM_TAG_LEN, SHA1_TAG_LEN, SrtpError};

const GCM_IV_LEN: usize = 12;
const CM_IV_LEN: usize = 16;

/// Which way the key is used. AES-GCM is set up differently for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Seal,
    Open,
}

/// One session key, ready to use. OpenSSL keeps the expanded key; a packet only sets its IV.
pub(super) enum Suite {
    Gcm(Gcm),
    CmSha1(Box<CmSha1>),
}

impl Suite {
    pub(super) fn new(
        profile: SrtpProfile,
        direction: Direction,
        keys: &SessionKeys,
    ) -> Result<Self, SrtpError> {
        Ok(match profile {
            SrtpProfile::AeadAes128Gcm => {
                Self::Gcm(Gcm::new(Cipher::aes_128_gcm(), direction, keys)?)
            }
            SrtpProfile::AeadAes256Gcm => {
                Self::Gcm(Gcm::new(Cipher::aes_256_gcm(), direction, keys)?)
            }
            SrtpProfile::Aes128CmSha1_80 => Self::CmSha1(Box::new(CmSha1::new(keys)?)),
        })
    }
}

/// AES-GCM (RFC 7714).
pub(super) struct Gcm {
    context: CipherCtx,
    salt: [u8; GCM_IV_LEN],
}

impl Gcm {
    fn new(
        cipher: &'static openssl::cipher::CipherRef,
        direction: Direction,
        keys: &SessionKeys,
    ) -> Result<Self, SrtpError> {
        let mut context = CipherCtx::new()?;
        match direction {
            Direction::Seal => context.encrypt_init(Some(cipher), Some(keys.key()), None)?,
            Direction::Open => context.decrypt_init(Some(cipher), Some(keys.key()), None)?,
        }
        let mut salt = [0; GCM_IV_LEN];
        salt.copy_from_slice(&keys.salt[..GCM_IV_LEN]);
        Ok(Self { context, salt })
    }

    /// RFC 7714, sections 8.1 and 9.1: both are salt XOR (0 | SSRC | 48 bits).
    fn iv(&self, ssrc: u32, index: u64) -> [u8; GCM_IV_LEN] {
        let mut iv = self.salt;
        mix(&mut iv[2..], ssrc, index);
        iv
    }

    /// Encrypts `body` in place, then `payload` into `payload_out` of the same length; returns the
    /// tag over everything.
    pub(super) fn seal(
        &mut self,
        ssrc: u32,
        index: u64,
        clear: [&[u8]; 2],
        body: &mut [u8],
        payload: &[u8],
        payload_out: &mut [u8],
    ) -> Result<[u8; GCM_TAG_LEN], ErrorStack> {
        let iv = self.iv(ssrc, index);
        let context = &mut self.context;
        context.encrypt_init(None, None, Some(&iv))?;
        authenticate(context, clear)?;
        apply(context, body)?;
        if !payload.is_empty() {
            context.cipher_update(payload, Some(payload_out))?;
        }
        context.cipher_final(&mut [])?;
        let mut tag = [0; GCM_TAG_LEN];
        context.tag(&mut tag)?;
        Ok(tag)
    }

    /// Decrypts `body` in place and checks `tag`. If false, `body` is garbage.
    pub(super) fn open(
        &mut self,
        ssrc: u32,
        index: u64,
        clear: [&[u8]; 2],
        body: &mut [u8],
        tag: &[u8],
    ) -> bool {
        let iv = self.iv(ssrc, index);
        let context = &mut self.context;
        let opened = (|| {
            context.decrypt_init(None, None, Some(&iv))?;
            authenticate(context, clear)?;
            apply(context, body)?;
            context.set_tag(tag)?;
            context.cipher_final(&mut [])
        })();
        opened.is_ok()
    }
}

/// AES in counter mode with HMAC-SHA1, truncated to 80 bits (RFC 3711, sections 4.1.1 and 4.2.1).
pub(super) struct CmSha1 {
    context: CipherCtx,
    salt: [u8; CM_IV_LEN],
    /// With the key's blocks already hashed; cloned for each packet.
    mac: Hmac<Sha1>,
}

impl CmSha1 {
    fn new(keys: &SessionKeys) -> Result<Self, SrtpError> {
        let mut context = CipherCtx::new()?;
        // Encryption and decryption are the same in counter mode.
        context.encrypt_init(Some(Cipher::aes_128_ctr()), Some(keys.key()), None)?;
        let mut salt = [0; CM_IV_LEN];
        salt[..keys.salt.len()].copy_from_slice(&keys.salt);
        let mac = Hmac::new_from_slice(&keys.auth_key).map_err(|_| SrtpError::KeyLength)?;
        Ok(Self { context, salt, mac })
    }

    /// Salt, SSRC and index in the upper 14 bytes; the lower two count blocks.
    fn set_iv(&mut self, ssrc: u32, index: u64) -> Result<(), ErrorStack> {
        let mut iv = self.salt;
        mix(&mut iv[4..], ssrc, index);
        self.context.encrypt_init(None, None, Some(&iv))
    }

    /// Encrypts `body` in place, then `payload` into `payload_out` of the same length.
    pub(super) fn encrypt(
        &mut self,
        ssrc: u32,
        index: u64,
        body: &mut [u8],
        payload: &[u8],
        payload_out: &mut [u8],
    ) -> Result<(), ErrorStack> {
        self.set_iv(ssrc, index)?;
        apply(&mut self.context, body)?;
        if !payload.is_empty() {
            self.context.cipher_update(payload, Some(payload_out))?;
        }
        Ok(())
    }

    /// Decrypts `body`, which must have been authenticated before.
    pub(super) fn decrypt(&mut self, ssrc: u32, index: u64, body: &mut [u8]) -> bool {
        self.set_iv(ssrc, index).and_then(|()| apply(&mut self.context, body)).is_ok()
    }

    /// Tag over `packet`, and `extra` behind it.
    pub(super) fn tag(&self, packet: &[u8], extra: &[u8]) -> [u8; SHA1_TAG_LEN] {
        let mut tag = [0; SHA1_TAG_LEN];
        let whole = self.mac_of(packet, extra).finalize().into_bytes();
        tag.copy_from_slice(&whole[..SHA1_TAG_LEN]);
        tag
    }

    /// Whether `tag` is right, compared in constant time.
    pub(super) fn verify(&self, packet: &[u8], extra: &[u8], tag: &[u8]) -> bool {
        self.mac_of(packet, extra).verify_truncated_left(tag).is_ok()
    }

    fn mac_of(&self, packet: &[u8], extra: &[u8]) -> Hmac<Sha1> {
        let mut mac = self.mac.clone();
        mac.update(packet);
        mac.update(extra);
        mac
    }
}

/// XORs SSRC and the low 48 bits of `index` into the first ten bytes of `iv`.
fn mix(iv: &mut [u8], ssrc: u32, index: u64) {
    let words = ssrc.to_be_bytes().into_iter().chain(index.to_be_bytes().into_iter().skip(2));
    iv.iter_mut().zip(words).for_each(|(byte, word)| *byte ^= word);
}

fn authenticate(context: &mut CipherCtx, clear: [&[u8]; 2]) -> Result<(), ErrorStack> {
    for part in clear {
        if !part.is_empty() {
            context.cipher_update(part, None)?;
        }
    }
    Ok(())
}

fn apply(context: &mut CipherCtx, body: &mut [u8]) -> Result<(), ErrorStack> {
    let len = body.len();
    if len > 0 {
        context.cipher_update_inplace(body, len)?;
    }
    Ok(())
}
