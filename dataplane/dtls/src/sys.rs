//! The three calls into OpenSSL that the `openssl` crate does not wrap.

use std::ffi::{c_int, c_uint};

use foreign_types::ForeignTypeRef;
use openssl::ssl::{SslRef, SslStream};
use openssl_sys::SSL;

use crate::pipe::Pipe;

/// One hour, far past the end of any handshake: OpenSSL's own timer never fires, ours does.
const NEVER_US: c_uint = 3_600_000_000;

unsafe extern "C" {
    fn DTLS_set_timer_cb(ssl: *mut SSL, cb: extern "C" fn(*mut SSL, c_uint) -> c_uint);

    /// What `DTLSv1_handle_timeout` does once it has compared its deadline with the wall clock
    /// (ssl/statem/statem_dtls.c). OpenSSL exports no way to replace that clock, so the step after
    /// it is called by name; a release that renames it fails to link.
    fn dtls1_retransmit_buffered_messages(ssl: *mut SSL) -> c_int;
}

extern "C" fn never(_ssl: *mut SSL, _previous_us: c_uint) -> c_uint {
    NEVER_US
}

/// Takes the handshake timer away from OpenSSL, which would read the wall clock for it.
pub(crate) fn disable_timer(ssl: &SslRef) {
    // SAFETY: the pointer is a live DTLS object for the whole call, and `never` has the signature
    // of DTLS_timer_cb, touches nothing and cannot unwind.
    unsafe { DTLS_set_timer_cb(ssl.as_ptr(), never) }
}

/// Writes the last flight again, with new record numbers. False when OpenSSL failed.
pub(crate) fn retransmit_flight(stream: &mut SslStream<Pipe>) -> bool {
    let ssl = stream.ssl().as_ptr();
    // SAFETY: the pointer is a live DTLS object, borrowed mutably for the whole call. It was made
    // by SSL_new for a DTLS method, hence is the SSL_CONNECTION that the function expects (for
    // anything but QUIC the two are one allocation with the same address, ssl/ssl_local.h).
    unsafe { dtls1_retransmit_buffered_messages(ssl) > 0 }
}
