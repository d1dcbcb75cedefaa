//! Certificate fingerprints as they stand in SDP (RFC 8122, section 5).

use std::fmt;
use std::str::FromStr;

use openssl::hash::MessageDigest;

/// Hash functions accepted in `a=fingerprint`. SHA-1 and MD5 are refused: they no longer bind a
/// certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// sha-256, what every browser sends.
    Sha256,
    /// sha-384.
    Sha384,
    /// sha-512.
    Sha512,
}

impl HashKind {
    /// Name in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HashKind::Sha256 => "sha-256",
            HashKind::Sha384 => "sha-384",
            HashKind::Sha512 => "sha-512",
        }
    }

    /// Bytes of one digest.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            HashKind::Sha256 => 32,
            HashKind::Sha384 => 48,
            HashKind::Sha512 => 64,
        }
    }

    pub(crate) fn digest(self) -> MessageDigest {
        match self {
            HashKind::Sha256 => MessageDigest::sha256(),
            HashKind::Sha384 => MessageDigest::sha384(),
            HashKind::Sha512 => MessageDigest::sha512(),
        }
    }
}

/// Why a fingerprint attribute was refused. The peer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// No hash function of this name, or one too weak to accept.
    #[error("fingerprint hash function is not supported")]
    UnknownHash,
    /// Not pairs of hexadecimal digits joined by colons, or the wrong number of them.
    #[error("fingerprint is malformed")]
    Malformed,
}

/// Digest of a certificate, and the function that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: HashKind,
    bytes: Vec<u8>,
}

impl Fingerprint {
    /// # Errors
    /// `Malformed` when the length does not fit the hash function.
    pub fn new(hash: HashKind, bytes: &[u8]) -> Result<Self, FingerprintError> {
        if bytes.len() != hash.digest_len() {
            return Err(FingerprintError::Malformed);
        }
        Ok(Self { hash, bytes: bytes.to_vec() })
    }

    pub(crate) fn sha256(bytes: &[u8; 32]) -> Self {
        Self { hash: HashKind::Sha256, bytes: bytes.to_vec() }
    }

    /// The hash function to apply to the peer's certificate for a comparison.
    #[must_use]
    pub fn hash(&self) -> HashKind {
        self.hash
    }

    /// The digest.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the value of `a=fingerprint`: `sha-256 AB:CD:...`, in either case.
impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, digits) = text.trim().split_once(' ').ok_or(FingerprintError::Malformed)?;
        let hash = [HashKind::Sha256, HashKind::Sha384, HashKind::Sha512]
            .into_iter()
            .find(|hash| name.eq_ignore_ascii_case(hash.name()))
            .ok_or(FingerprintError::UnknownHash)?;
        let bytes: Option<Vec<u8>> = digits.trim().split(':').map(hex_pair).collect();
        Fingerprint::new(hash, &bytes.ok_or(FingerprintError::Malformed)?)
    }
}

fn hex_pair(pair: &str) -> Option<u8> {
    // from_str_radix alone would take "+1".
    if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(pair, 16).ok()
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (index, byte) in self.bytes.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        for hash in [HashKind::Sha256, HashKind::Sha384, HashKind::Sha512] {
            let bytes: Vec<u8> = (0..hash.digest_len()).map(|index| index as u8 * 3).collect();
            let print = Fingerprint::new(hash, &bytes).unwrap();
            assert_eq!(print.to_string().parse(), Ok(print.clone()));
            assert_eq!(print.to_string().to_lowercase().parse(), Ok(print.clone()));
            assert_eq!(Fingerprint::new(hash, &bytes[1..]), Err(FingerprintError::Malformed));
        }
    }

    #[test]
    fn bad_text_is_refused() {
        let good = Fingerprint::new(HashKind::Sha256, &[0x1F; 32]).unwrap().to_string();
        for (text, error) in [
            ("", FingerprintError::Malformed),
            ("sha-256", FingerprintError::Malformed),
            ("sha-256 ", FingerprintError::Malformed),
            ("sha-256 AB", FingerprintError::Malformed),
            ("sha-1 AB:CD", FingerprintError::UnknownHash),
            (&good.replace("1F:1F:1F", "1F:1:1F"), FingerprintError::Malformed),
            (&good.replacen("1F", "+F", 1), FingerprintError::Malformed),
            (&good.replacen("1F", "é", 1), FingerprintError::Malformed),
            (&format!("{good}:"), FingerprintError::Malformed),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(error), "{text}");
        }
    }
}
