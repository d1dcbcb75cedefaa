//! Opening what a peer sends.

use airside_dtls::SrtpProfile;

use super::cipher::{Direction, Suite};
use super::kdf::{Protocol, SessionKeys};
use super::profile::{INDEX_LEN, SrtpError, rtp_tag_len};
use super::replay::{RtcpWindow, RtpWindow};
use crate::error::DropReason;
use crate::rtp::RtpView;

const RTCP_CLEAR_LEN: usize = 8;
const ENCRYPTED: u32 = 1 << 31;
/// Sources that one transport is remembered by; the one unused for longest makes room for another.
/// Only authenticated packets get here, so nobody but the peer itself can push its sources out.
const MAX_SOURCES: usize = 64;

/// An RTP packet that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unprotected {
    /// Length of the plain packet: header, payload and RTP padding.
    pub len: usize,
    /// Extended sequence number: rollover counter and sequence number.
    pub index: u64,
}

/// The keys of what one peer sends, and per SSRC what came so far.
///
/// Nothing of it changes before a packet's tag was found right. A source's window lives as long as
/// the transport (up to 64 sources), so one that stops and comes back finds its rollover counter.
pub struct SrtpReceiver {
    rtp: Suite,
    rtcp: Suite,
    rtp_sources: Sources<RtpWindow>,
    rtcp_sources: Sources<RtcpWindow>,
    tag_len: usize,
}

impl SrtpReceiver {
    /// # Errors
    /// [`SrtpError::KeyLength`] if master key or salt do not fit the profile.
    pub fn new(
        profile: SrtpProfile,
        master_key: &[u8],
        master_salt: &[u8],
    ) -> Result<Self, SrtpError> {
        let suite = |protocol| {
            let keys = SessionKeys::derive(profile, protocol, master_key, master_salt)?;
            Suite::new(profile, Direction::Open, &keys)
        };
        Ok(Self::of(suite(Protocol::Rtp)?, suite(Protocol::Rtcp)?, profile))
    }

    fn of(rtp: Suite, rtcp: Suite, profile: SrtpProfile) -> Self {
        Self {
            rtp,
            rtcp,
            rtp_sources: Sources::default(),
            rtcp_sources: Sources::default(),
            tag_len: rtp_tag_len(profile),
        }
    }

    /// Session keys given directly, as published vectors have them.
    #[cfg(test)]
    pub(super) fn with_session_keys(profile: SrtpProfile, keys: &SessionKeys) -> Self {
        let suite = || Suite::new(profile, Direction::Open, keys).unwrap();
        Self::of(suite(), suite(), profile)
    }

    /// Opens an RTP packet in place; `view` is its header.
    ///
    /// # Errors
    /// [`DropReason::SrtpTooShort`], [`DropReason::SrtpReplayed`] or
    /// [`DropReason::SrtpAuthFailed`]; the payload's bytes are then undefined.
    pub fn unprotect_rtp(
        &mut self,
        packet: &mut [u8],
        view: &RtpView,
    ) -> Result<Unprotected, DropReason> {
        let len = packet.len().checked_sub(self.tag_len).ok_or(DropReason::SrtpTooShort)?;
        if len < view.header_len() {
            return Err(DropReason::SrtpTooShort);
        }
        let source = self.rtp_sources.find(view.ssrc);
        let index = match source {
            Some(at) => {
                let window = &self.rtp_sources.windows[at];
                let index = window.estimate(view.sequence)?;
                window.check(index)?;
                index
            }
            // The sender's rollover counter begins at 0.
            None => u64::from(view.sequence),
        };
        let (plain, tag) = packet.split_at_mut(len);
        let opened = match &mut self.rtp {
            Suite::Gcm(gcm) => {
                let (clear, body) = plain.split_at_mut(view.header_len());
                gcm.open(view.ssrc, index, [clear, &[]], body, tag)
            }
            Suite::CmSha1(suite) => {
                suite.verify(plain, &((index >> 16) as u32).to_be_bytes(), tag)
                    && suite.decrypt(view.ssrc, index, &mut plain[view.header_len()..])
            }
        };
        if !opened {
            return Err(DropReason::SrtpAuthFailed);
        }
        match source {
            Some(at) => self.rtp_sources.touch(at).accept(index),
            None => self.rtp_sources.insert(view.ssrc, RtpWindow::starting_at(index)),
        }
        Ok(Unprotected { len, index })
    }

    /// Opens a compound in place; returns its plain length. One without the E flag, which says
    /// that it is not encrypted, fails like a forged one: WebRTC knows no such thing (RFC 8827).
    ///
    /// # Errors
    /// [`DropReason::SrtpTooShort`], [`DropReason::SrtpReplayed`] or
    /// [`DropReason::SrtpAuthFailed`]; the bytes behind the first eight are then undefined.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        let trailer_len = self.tag_len + INDEX_LEN;
        let len = packet.len().checked_sub(trailer_len).ok_or(DropReason::SrtpTooShort)?;
        if len < RTCP_CLEAR_LEN {
            return Err(DropReason::SrtpTooShort);
        }
        let (plain, trailer) = packet.split_at_mut(len);
        // GCM: tag, index. Counter mode: index, tag.
        let (tag, index_word) = match &self.rtcp {
            Suite::Gcm(_) => {
                let (tag, index_word) = trailer.split_at(self.tag_len);
                (tag, index_word)
            }
            Suite::CmSha1(_) => {
                let (index_word, tag) = trailer.split_at(INDEX_LEN);
                (tag, index_word)
            }
        };
        let word = be32(index_word);
        if word & ENCRYPTED == 0 {
            return Err(DropReason::SrtpAuthFailed);
        }
        let index = u64::from(word & !ENCRYPTED);
        let ssrc = be32(&plain[RTCP_CLEAR_LEN - 4..]);
        let source = self.rtcp_sources.find(ssrc);
        if let Some(at) = source {
            self.rtcp_sources.windows[at].check(index)?;
        }
        let opened = match &mut self.rtcp {
            Suite::Gcm(gcm) => {
                let (clear, body) = plain.split_at_mut(RTCP_CLEAR_LEN);
                gcm.open(ssrc, index, [clear, index_word], body, tag)
            }
            Suite::CmSha1(suite) => {
                suite.verify(plain, index_word, tag)
                    && suite.decrypt(ssrc, index, &mut plain[RTCP_CLEAR_LEN..])
            }
        };
        if !opened {
            return Err(DropReason::SrtpAuthFailed);
        }
        match source {
            Some(at) => self.rtcp_sources.touch(at).accept(index),
            None => self.rtcp_sources.insert(ssrc, RtcpWindow::starting_at(index)),
        }
        Ok(len)
    }
}

/// A window for each SSRC, at most [`MAX_SOURCES`].
struct Sources<W> {
    /// Beside `windows`, so that a look-up reads nothing else.
    ssrcs: Vec<u32>,
    windows: Vec<W>,
    last_used: Vec<u64>,
    uses: u64,
}

impl<W> Default for Sources<W> {
    fn default() -> Self {
        Self { ssrcs: Vec::new(), windows: Vec::new(), last_used: Vec::new(), uses: 0 }
    }
}

impl<W> Sources<W> {
    fn find(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|known| *known == ssrc)
    }

    fn touch(&mut self, at: usize) -> &mut W {
        self.uses += 1;
        self.last_used[at] = self.uses;
        &mut self.windows[at]
    }

    fn insert(&mut self, ssrc: u32, window: W) {
        if self.ssrcs.len() >= MAX_SOURCES {
            let oldest = (0..self.ssrcs.len()).min_by_key(|at| self.last_used[*at]).unwrap_or(0);
            self.ssrcs.swap_remove(oldest);
            self.windows.swap_remove(oldest);
            self.last_used.swap_remove(oldest);
        }
        self.uses += 1;
        self.ssrcs.push(ssrc);
        self.windows.push(window);
        self.last_used.push(self.uses);
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
