//! What is done to media on its way: SRTP over a network, nothing to a process beside ours.

use crate::error::DropReason;
use crate::rtp::RtpView;
use crate::srtp::{SrtpReceiver, SrtpSender, Unprotected};

/// Of what comes.
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub(crate) enum MediaIn {
    Srtp(SrtpReceiver),
    Plain,
}

/// Of what is sent.
pub(crate) enum MediaOut {
    Srtp(SrtpSender),
    Plain,
}

impl MediaIn {
    /// As [`SrtpReceiver::unprotect_rtp`]; returns the length of the plain packet.
    ///
    /// # Errors
    /// As there; none for what is plain.
    #[inline]
    pub(crate) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        view: &RtpView,
    ) -> Result<usize, DropReason> {
        match self {
            Self::Srtp(srtp) => srtp.unprotect_rtp(packet, view).map(|Unprotected { len, .. }| len),
            Self::Plain => Ok(packet.len()),
        }
    }

    /// As [`SrtpReceiver::unprotect_rtcp`].
    ///
    /// # Errors
    /// As there; none for what is plain.
    pub(crate) fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self {
            Self::Srtp(srtp) => srtp.unprotect_rtcp(packet),
            Self::Plain => Ok(packet.len()),
        }
    }
}

impl MediaOut {
    /// As [`SrtpSender::protect_rtp_from`].
    ///
    /// # Errors
    /// As there; for what is plain only that it finds no room.
    #[inline]
    pub(crate) fn seal_rtp_from(
        &mut self,
        index: u64,
        out: &mut [u8],
        header_len: usize,
        prefix_len: usize,
        payload: &[u8],
    ) -> Result<usize, DropReason> {
        match self {
            Self::Srtp(srtp) => srtp.protect_rtp_from(index, out, header_len, prefix_len, payload),
            Self::Plain => {
                let at = header_len + prefix_len;
                let place = out.get_mut(at..at + payload.len()).ok_or(DropReason::TooBig)?;
                place.copy_from_slice(payload);
                Ok(at + payload.len())
            }
        }
    }

    /// As [`SrtpSender::protect_rtcp`].
    ///
    /// # Errors
    /// As there; none for what is plain.
    pub(crate) fn seal_rtcp(&mut self, packet: &mut [u8], len: usize) -> Result<usize, DropReason> {
        match self {
            Self::Srtp(srtp) => srtp.protect_rtcp(packet, len),
            Self::Plain => Ok(len),
        }
    }
}
