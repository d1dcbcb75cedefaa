//! SRTP and SRTCP (RFC 3711) with AEAD_AES_128_GCM, AEAD_AES_256_GCM (RFC 7714) and
//! AES128_CM_HMAC_SHA1_80: [`SrtpReceiver`] opens what a peer sends, [`SrtpSender`] seals what we
//! send. Each has the keys of one direction, so neither can be used for the other by mistake.
//!
//! Cipher and library were chosen by measurement: see `benches/srtp.rs`.

mod cipher;
mod kdf;
mod profile;
mod receiver;
mod replay;
mod sender;

pub use airside_dtls::SrtpProfile;
pub use profile::{MAX_TRAILER_LEN, SrtpError};
pub use receiver::{SrtpReceiver, Unprotected};
pub use sender::SrtpSender;

#[cfg(test)]
mod tests;
