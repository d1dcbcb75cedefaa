//! DTLS 1.2 for WebRTC on OpenSSL, driven by datagrams and the caller's clock.
//!
//! [`Dtls`] is one association. Feed it with [`Dtls::handle_datagram`], then drain
//! [`Dtls::poll_transmit`] and [`Dtls::poll_event`], and call [`Dtls::handle_timeout`] when
//! [`Dtls::poll_timeout`] has passed. It owns no socket and reads no clock.
//!
//! Who may feed it: only datagrams from addresses that passed an authenticated connectivity check
//! (RFC 8445). Nothing here proves an address, there is no HelloVerifyRequest. Whose certificate it
//! is, is for the caller to decide: compare [`Dtls::peer_fingerprint`] with the one from signaling
//! before any key is used (RFC 8122, section 6.2).
//!
//! The way in of a datagram: `records.rs` drops what nobody authenticated and what no honest peer
//! sends, `pipe.rs` holds the rest where OpenSSL reads it, `association.rs` runs OpenSSL. The few
//! lines of `unsafe` are in `sys.rs`.

mod association;
#[cfg(test)]
mod association_tests;
mod fingerprint;
mod identity;
mod pipe;
mod records;
mod retransmit;
mod srtp;
mod sys;

pub use association::{CloseReason, Dtls, DtlsError, DtlsEvent, DtlsStats, MAX_DATA_LEN, Role};
pub use fingerprint::{Fingerprint, FingerprintError, HashKind};
pub use identity::{Identity, IdentityError};
pub use srtp::{SrtpKeying, SrtpProfile};
