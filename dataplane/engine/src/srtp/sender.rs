//! Sealing what we send.

use airside_dtls::SrtpProfile;

use super::cipher::{Direction, Suite};
use super::kdf::{Protocol, SessionKeys};
use super::profile::{INDEX_LEN, SrtpError, rtp_tag_len};
use crate::error::DropReason;
use crate::rtp::MIN_HEADER_LEN;

/// What SRTCP leaves in clear: first header and SSRC.
const RTCP_CLEAR_LEN: usize = 8;
/// The E flag: what follows the clear part is encrypted.
const ENCRYPTED: u32 = 1 << 31;
const SSRC_AT: usize = 8;

/// The keys of what one transport sends.
///
/// **Nonces.** With GCM, sending two different packets with one (SSRC, index) under one key gives
/// the authentication key away. For RTP the index is the caller's: the extended sequence number of
/// the outgoing slot, which lives as long as the slot's SSRC and only ever grows, through source
/// switches and pauses. So no rollover counter can fall behind or start again here; what is left to
/// the caller is never to protect one number twice. A retransmission goes by RTX, which has numbers
/// of its own, or repeats the bytes that were sent. For SRTCP the index is counted here.
pub struct SrtpSender {
    rtp: Suite,
    rtcp: Suite,
    rtcp_index: u32,
    tag_len: usize,
}

impl SrtpSender {
    /// # Errors
    /// [`SrtpError::KeyLength`] if master key or salt do not fit the profile.
    pub fn new(
        profile: SrtpProfile,
        master_key: &[u8],
        master_salt: &[u8],
    ) -> Result<Self, SrtpError> {
        let suite = |protocol| {
            let keys = SessionKeys::derive(profile, protocol, master_key, master_salt)?;
            Suite::new(profile, Direction::Seal, &keys)
        };
        Ok(Self {
            rtp: suite(Protocol::Rtp)?,
            rtcp: suite(Protocol::Rtcp)?,
            rtcp_index: 0,
            tag_len: rtp_tag_len(profile),
        })
    }

    /// Session keys given directly, as published vectors have them.
    #[cfg(test)]
    pub(super) fn with_session_keys(profile: SrtpProfile, keys: &SessionKeys, index: u32) -> Self {
        Self {
            rtp: Suite::new(profile, Direction::Seal, keys).unwrap(),
            rtcp: Suite::new(profile, Direction::Seal, keys).unwrap(),
            rtcp_index: index,
            tag_len: rtp_tag_len(profile),
        }
    }

    /// Bytes that [`SrtpSender::protect_rtp`] adds.
    #[must_use]
    pub fn rtp_overhead(&self) -> usize {
        self.tag_len
    }

    /// Bytes that [`SrtpSender::protect_rtcp`] adds.
    #[must_use]
    pub fn rtcp_overhead(&self) -> usize {
        self.tag_len + INDEX_LEN
    }

    /// Protects the packet in `packet[..len]`, whose header has `header_len` bytes, in place.
    /// `index` is its extended sequence number (see [`SrtpSender`] on nonces).
    ///
    /// Returns the new length.
    ///
    /// # Errors
    /// As [`SrtpSender::protect_rtp_from`].
    pub fn protect_rtp(
        &mut self,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
        len: usize,
    ) -> Result<usize, DropReason> {
        self.protect_rtp_from(index, packet, header_len, len.saturating_sub(header_len), &[])
    }

    /// Protects a packet that is written to `out` in one pass: `out` begins with the header, then
    /// `prefix_len` plain bytes that this receiver has for itself (an original sequence number, a
    /// rewritten payload descriptor, or nothing); `payload` is shared by all receivers and goes
    /// encrypted behind them.
    ///
    /// Returns the length of the whole packet.
    ///
    /// # Errors
    /// [`DropReason::TooBig`] if `out` has no room for payload and tag;
    /// [`DropReason::SrtpFailed`] if the crypto library failed. `out` is then not to be sent.
    pub fn protect_rtp_from(
        &mut self,
        index: u64,
        out: &mut [u8],
        header_len: usize,
        prefix_len: usize,
        payload: &[u8],
    ) -> Result<usize, DropReason> {
        let len = header_len + prefix_len + payload.len();
        if header_len < MIN_HEADER_LEN || out.len() < len + self.tag_len {
            return Err(DropReason::TooBig);
        }
        debug_assert_eq!(out[2..4], (index as u16).to_be_bytes(), "index of another packet");
        let ssrc = be32(&out[SSRC_AT..]);
        let (packet, tag_out) = out.split_at_mut(len);
        let (clear, body) = packet.split_at_mut(header_len);
        let (prefix, payload_out) = body.split_at_mut(prefix_len);
        match &mut self.rtp {
            Suite::Gcm(gcm) => {
                let tag = gcm
                    .seal(ssrc, index, [clear, &[]], prefix, payload, payload_out)
                    .map_err(|_| DropReason::SrtpFailed)?;
                tag_out[..tag.len()].copy_from_slice(&tag);
            }
            Suite::CmSha1(suite) => {
                suite
                    .encrypt(ssrc, index, prefix, payload, payload_out)
                    .map_err(|_| DropReason::SrtpFailed)?;
                let tag = suite.tag(packet, &((index >> 16) as u32).to_be_bytes());
                tag_out[..tag.len()].copy_from_slice(&tag);
            }
        }
        Ok(len + self.tag_len)
    }

    /// Protects the compound in `packet[..len]` in place. Returns the new length.
    ///
    /// # Errors
    /// [`DropReason::TooBig`] if `packet` has no room for tag and index;
    /// [`DropReason::RtcpMalformed`] if `len` is less than header and SSRC;
    /// [`DropReason::SrtpKeyExhausted`] after 2^31 packets: the transport must be renewed.
    pub fn protect_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, DropReason> {
        if len < RTCP_CLEAR_LEN {
            return Err(DropReason::RtcpMalformed);
        }
        let total = len + self.rtcp_overhead();
        if packet.len() < total {
            return Err(DropReason::TooBig);
        }
        if self.rtcp_index >= ENCRYPTED - 1 {
            return Err(DropReason::SrtpKeyExhausted);
        }
        self.rtcp_index += 1;
        let index = u64::from(self.rtcp_index);
        let index_word = (ENCRYPTED | self.rtcp_index).to_be_bytes();
        let ssrc = be32(&packet[RTCP_CLEAR_LEN - 4..]);
        let (plain, trailer) = packet.split_at_mut(len);
        let (clear, body) = plain.split_at_mut(RTCP_CLEAR_LEN);
        match &mut self.rtcp {
            Suite::Gcm(gcm) => {
                let tag = gcm
                    .seal(ssrc, index, [clear, &index_word], body, &[], &mut [])
                    .map_err(|_| DropReason::SrtpFailed)?;
                trailer[..tag.len()].copy_from_slice(&tag);
                trailer[tag.len()..][..INDEX_LEN].copy_from_slice(&index_word);
            }
            Suite::CmSha1(suite) => {
                suite
                    .encrypt(ssrc, index, body, &[], &mut [])
                    .map_err(|_| DropReason::SrtpFailed)?;
                let tag = suite.tag(plain, &index_word);
                trailer[..INDEX_LEN].copy_from_slice(&index_word);
                trailer[INDEX_LEN..][..tag.len()].copy_from_slice(&tag);
            }
        }
        Ok(total)
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
