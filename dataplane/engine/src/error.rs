//! Why bytes could not be read, and why a packet was not sent on.

use std::fmt;

/// The wire format a [`ParseError`] speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// STUN message (RFC 8489).
    Stun,
    /// RTP fixed header, CSRC list, padding (RFC 3550, section 5.1).
    Rtp,
    /// RTP header extension block (RFC 8285).
    RtpExtension,
    /// RTCP common header and compound framing (RFC 3550, section 6.1).
    Rtcp,
    /// RTCP sender report.
    SenderReport,
    /// RTCP receiver report.
    ReceiverReport,
    /// RTCP source description.
    Sdes,
    /// RTCP goodbye.
    Bye,
    /// Generic NACK (RFC 4585, section 6.2.1).
    Nack,
    /// Picture loss indication (RFC 4585, section 6.3.1).
    Pli,
    /// Full intra request (RFC 5104, section 4.3.1).
    Fir,
    /// Transport-wide congestion control feedback.
    Twcc,
    /// Receiver estimated maximum bitrate.
    Remb,
    /// RTCP extended report (RFC 3611).
    Xr,
    /// SCTP packet (RFC 9260, section 3).
    Sctp,
    /// Data channel establishment (RFC 8832, section 5).
    Dcep,
    /// Data message in a dialect's envelope.
    Envelope,
}

impl Format {
    /// Short name for messages and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Rtp => "rtp",
            Self::RtpExtension => "rtp_extension",
            Self::Rtcp => "rtcp",
            Self::SenderReport => "rtcp_sr",
            Self::ReceiverReport => "rtcp_rr",
            Self::Sdes => "rtcp_sdes",
            Self::Bye => "rtcp_bye",
            Self::Nack => "rtcp_nack",
            Self::Pli => "rtcp_pli",
            Self::Fir => "rtcp_fir",
            Self::Twcc => "rtcp_twcc",
            Self::Remb => "rtcp_remb",
            Self::Xr => "rtcp_xr",
            Self::Sctp => "sctp",
            Self::Dcep => "dcep",
            Self::Envelope => "envelope",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes of a peer that are not what their format allows. Always the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes end before the structure does.
    #[error("{0}: truncated")]
    Truncated(Format),
    /// A length field contradicts its surroundings.
    #[error("{0}: bad length")]
    BadLength(Format),
    /// The version field is not one we speak.
    #[error("{0}: bad version")]
    BadVersion(Format),
    /// Padding is zero-sized, or larger than what it pads.
    #[error("{0}: bad padding")]
    BadPadding(Format),
    /// A fixed magic value is missing, or the bytes are of another kind.
    #[error("{0}: not this format")]
    WrongKind(Format),
    /// A field holds a value outside its range.
    #[error("{0}: bad value")]
    BadValue(Format),
}

impl ParseError {
    /// The format whose rules were broken.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Truncated(f)
            | Self::BadLength(f)
            | Self::BadVersion(f)
            | Self::BadPadding(f)
            | Self::WrongKind(f)
            | Self::BadValue(f) => f,
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// Why a packet went no further. Ordinary on the packet path: count it and go on.
        ///
        /// Usable as index into a counter array of [`DropReason::COUNT`] entries. The snake_case
        /// names are metric labels: rename none of them without a note in the change log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of [`DropReason::index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Stable snake_case name, used as metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

drop_reasons! {
    // Demultiplexing.
    /// First byte, length or magic of no protocol we speak (RFC 7983).
    NotStunDtlsRtp => "not_stun_dtls_rtp",
    /// Address that no authenticated check came from.
    UnknownAddress => "unknown_address",

    // ICE.
    /// STUN that does not parse, or whose FINGERPRINT is absent or wrong.
    StunMalformed => "stun_malformed",
    /// USERNAME names no transport of ours.
    StunUnknownUfrag => "stun_unknown_ufrag",
    /// MESSAGE-INTEGRITY is wrong.
    StunBadIntegrity => "stun_bad_integrity",
    /// Response to no request of ours, or a class or method we do not serve.
    StunUnexpected => "stun_unexpected",
    /// More checks than the per-transport limit allows.
    StunRateLimited => "stun_rate_limited",

    // DTLS and SCTP.
    /// DTLS from an address without an authenticated check.
    DtlsUnvalidatedAddress => "dtls_unvalidated_address",
    /// Too many DTLS datagrams waiting on one transport.
    DtlsBacklogFull => "dtls_backlog_full",
    /// The DTLS state machine refused the record.
    DtlsRejected => "dtls_rejected",
    /// SCTP packet that does not parse or does not fit the association.
    SctpRejected => "sctp_rejected",
    /// Data message that is no envelope of its sender's dialect.
    DataMalformed => "data_malformed",
    /// Data message larger than the limit.
    DataTooBig => "data_too_big",
    /// Data message to nobody, or from somebody who may not send.
    DataNotRoutable => "data_not_routable",
    /// The receiver of a data message reads too slowly.
    DataQueueFull => "data_queue_full",

    // SRTP.
    /// Media before the keys are there.
    SrtpNoContext => "srtp_no_context",
    /// Authentication tag is wrong.
    SrtpAuthFailed => "srtp_auth_failed",
    /// Sequence number seen before, or too old for the replay window to know.
    SrtpReplayed => "srtp_replayed",
    /// Too short to hold its own tag.
    SrtpTooShort => "srtp_too_short",
    /// The crypto library failed: our own trouble.
    SrtpFailed => "srtp_failed",
    /// Every SRTCP index of the sending key is used up.
    SrtpKeyExhausted => "srtp_key_exhausted",

    // RTP in.
    /// RTP header, extension block or padding runs past the packet.
    RtpMalformed => "rtp_malformed",
    /// SSRC of no published stream, and no mid or rid that says which.
    RtpUnknownSsrc => "rtp_unknown_ssrc",
    /// Payload type that was not negotiated.
    RtpUnknownPayloadType => "rtp_unknown_payload_type",
    /// Transport already has as many unbound SSRCs as it may.
    RtpTooManySsrcs => "rtp_too_many_ssrcs",
    /// RTX without an original sequence number, or of a stream without RTX.
    RtxMalformed => "rtx_malformed",
    /// RTCP compound whose common header is broken.
    RtcpMalformed => "rtcp_malformed",
    /// No payload: a probe of the sender, counted by congestion control only.
    PaddingOnly => "padding_only",
    /// Sequence number already seen on this stream.
    Duplicate => "duplicate",
    /// Behind everything we still keep.
    TooOld => "too_old",
    /// Publisher muted by the server, or without the right to publish.
    NotAllowed => "not_allowed",
    /// Nobody subscribes to this stream.
    NoSubscriber => "no_subscriber",

    // Forwarding.
    /// Layer above what this subscriber gets.
    LayerNotWanted => "layer_not_wanted",
    /// Subscription waits for the keyframe that starts it.
    WaitingForKeyframe => "waiting_for_keyframe",
    /// Subscription is paused.
    Paused => "paused",
    /// The path is too slow: the pacer dropped it, and its track up to the next keyframe.
    PacerFull => "pacer_full",
    /// Would not fit our largest datagram after rewriting.
    TooBig => "too_big",

    // Out.
    /// Ring to another worker, or to a local tap, is full.
    RingFull => "ring_full",
    /// Transport has no selected address to send to.
    NoRoute => "no_route",
    /// Transport was closed while the packet was under way.
    TransportClosed => "transport_closed",
}

impl DropReason {
    /// Position in [`DropReason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn reasons_index_themselves_and_have_distinct_snake_case_names() {
        let mut names = HashSet::new();
        for (at, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at);
            let name = reason.as_str();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert!(names.insert(name), "{name} twice");
        }
        assert_eq!(names.len(), DropReason::COUNT);
    }

    #[test]
    fn parse_error_names_format_and_fault() {
        let error = ParseError::BadPadding(Format::Rtp);
        assert_eq!(error.to_string(), "rtp: bad padding");
        assert_eq!(error.format(), Format::Rtp);
        assert_eq!(size_of::<ParseError>(), 2);
    }
}
