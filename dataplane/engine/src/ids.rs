//! Names of things that cross the language border. Python allocates them, counts up, never reuses.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

id!(
    /// A room: the scope of data messages and of active speakers.
    RoomId, "room"
);
id!(
    /// A member of a room.
    ParticipantId, "participant"
);
id!(
    /// One ICE + DTLS + SRTP + SCTP association.
    TransportId, "transport"
);
id!(
    /// What one participant publishes in one media section, all layers together.
    TrackId, "track"
);
id!(
    /// One outgoing media section of a transport: fixed mid, SSRC and RTX SSRC, whatever track it carries.
    SlotId, "slot"
);
id!(
    /// A reader of a track on this machine that is not a transport.
    TapId, "tap"
);

/// A packet worker, counted from 0. Encoded in the local ufrag of its transports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkerId(pub u8);
