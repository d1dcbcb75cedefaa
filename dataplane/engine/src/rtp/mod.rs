//! RTP packets: read in place as offsets, written anew for each receiver.
//!
//! A packet comes in encrypted, and its header must be read before it can be decrypted. So
//! [`RtpView`] holds numbers and offsets, never a borrow: parse, decrypt in place, then look at
//! payload and extensions of the same buffer through it.

mod extensions;
mod header;
mod writer;

pub use extensions::{
    AbsCaptureTime, AudioLevel, Element, Elements, ExtensionKind, ExtensionMap, ExtensionSpans,
    PlayoutDelay, ShortName,
};
pub use header::{MIN_HEADER_LEN, RtpView};
pub use writer::{
    HeaderFields, WrittenHeader, patch_abs_send_time, patch_transport_cc, write_header,
};
