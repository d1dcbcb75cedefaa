//! Data tracks: packets of a peer's own at a rate of its own, lossy, for those who asked for them.
//!
//! A packet begins with twelve bytes, most significant first: version (3 bits) and flags, a reserved
//! byte, the track's handle (16 bits), sequence, frame number and timestamp. The publisher chose its
//! handle for itself; everybody else knows the track by another. Nothing but that is written here.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;

use crate::command::DataTrack;
use crate::error::DropReason;
use crate::ids::{TransportId, WorkerId};

/// Shortest packet: its header.
const HEADER_LEN: usize = 12;
/// Where the handle is.
const HANDLE: std::ops::Range<usize> = 2..4;
/// Upper bits of the first byte; only version 0 is known.
const VERSION: u8 = 0b1110_0000;

/// Transports on one worker that get a packet.
pub(crate) type Targets = (WorkerId, Arc<[TransportId]>);

/// Who gets the packets of which track.
#[derive(Debug, Default)]
pub(crate) struct DataTracks {
    routes: FxHashMap<(TransportId, u16), Route>,
}

/// One track's way to its subscribers.
#[derive(Debug)]
struct Route {
    subscribed_as: u16,
    targets: Vec<Targets>,
}

impl DataTracks {
    /// A track is published, or other people get it.
    pub(crate) fn set(&mut self, track: DataTrack) {
        let mut subscribers = track.subscribers;
        subscribers.sort_unstable_by_key(|(transport, worker)| (*worker, *transport));
        let targets = subscribers
            .chunk_by(|(_, one), (_, other)| one == other)
            .map(|same| (same[0].1, same.iter().map(|(transport, _)| *transport).collect()))
            .collect();
        let route = Route { subscribed_as: track.subscribed_as, targets };
        self.routes.insert((track.publisher, track.handle), route);
    }

    /// A track is published no more.
    pub(crate) fn remove(&mut self, publisher: TransportId, handle: u16) {
        self.routes.remove(&(publisher, handle));
    }

    /// A publisher is gone.
    pub(crate) fn forget(&mut self, publisher: TransportId) {
        self.routes.retain(|(transport, _), _| *transport != publisher);
    }

    /// The packet as subscribers read it, and who they are.
    ///
    /// # Errors
    /// It is no packet, or of a track that nobody published.
    pub(crate) fn route(
        &self,
        publisher: TransportId,
        packet: &[u8],
    ) -> Result<(Bytes, &[Targets]), DropReason> {
        if packet.len() < HEADER_LEN || packet[0] & VERSION != 0 {
            return Err(DropReason::DataMalformed);
        }
        let handle = u16::from_be_bytes([packet[HANDLE.start], packet[HANDLE.start + 1]]);
        let route = self.routes.get(&(publisher, handle)).ok_or(DropReason::DataNotRoutable)?;
        let mut copy = BytesMut::from(packet);
        copy[HANDLE].copy_from_slice(&route.subscribed_as.to_be_bytes());
        Ok((copy.freeze(), &route.targets))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: TransportId = TransportId(1);
    /// As LiveKit's client writes it: one packet is the whole frame; handle 5, number 7, `hi`.
    const PACKET: &[u8] = b"\x18\x00\x00\x05\x00\x07\x00\x01\x00\x00\x00\x2ahi";

    fn table() -> DataTracks {
        let mut tracks = DataTracks::default();
        let subscribers = [(2, 0), (3, 1), (4, 0)];
        tracks.set(DataTrack {
            publisher: ALICE,
            handle: 5,
            subscribed_as: 0x0102,
            subscribers: subscribers
                .map(|(transport, worker)| (TransportId(transport), WorkerId(worker)))
                .to_vec(),
        });
        tracks
    }

    #[test]
    fn only_the_handle_is_rewritten() {
        let tracks = table();
        let (packet, targets) = tracks.route(ALICE, PACKET).unwrap();
        assert_eq!(packet[HANDLE], [1, 2]);
        assert_eq!(packet[..HANDLE.start], PACKET[..HANDLE.start]);
        assert_eq!(packet[HANDLE.end..], PACKET[HANDLE.end..]);
        let expected: [Targets; 2] = [
            (WorkerId(0), [TransportId(2), TransportId(4)].into()),
            (WorkerId(1), [TransportId(3)].into()),
        ];
        assert_eq!(targets, expected);
    }

    #[test]
    fn what_is_no_packet_is_refused_at_every_length() {
        let tracks = table();
        for len in 0..HEADER_LEN {
            assert_eq!(tracks.route(ALICE, &PACKET[..len]), Err(DropReason::DataMalformed));
        }
        for first in 0..=255u8 {
            let mut packet = PACKET.to_vec();
            packet[0] = first;
            assert_eq!(tracks.route(ALICE, &packet).is_ok(), first & VERSION == 0);
        }
    }

    #[test]
    fn tracks_are_their_publishers_and_end() {
        let mut tracks = table();
        let unknown = Err(DropReason::DataNotRoutable);
        assert_eq!(tracks.route(TransportId(2), PACKET), unknown);
        tracks.remove(ALICE, 6);
        assert!(tracks.route(ALICE, PACKET).is_ok());
        tracks.remove(ALICE, 5);
        assert_eq!(tracks.route(ALICE, PACKET), unknown);
        tracks = table();
        tracks.forget(ALICE);
        assert_eq!(tracks.route(ALICE, PACKET), unknown);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_keep_their_length(
            mut packet in prop::collection::vec(any::<u8>(), 0..64),
            known in any::<bool>(),
        ) {
            if known && packet.len() >= HANDLE.end {
                packet[HANDLE].copy_from_slice(&[0, 5]);
            }
            if let Ok((copy, _)) = table().route(ALICE, &packet) {
                prop_assert_eq!(copy.len(), packet.len());
                prop_assert_eq!(&copy[HANDLE.end..], &packet[HANDLE.end..]);
            }
        }
    }
}
