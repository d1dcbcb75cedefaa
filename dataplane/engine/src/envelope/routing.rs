//! Who gets a data message. Pure: no channel is touched here.
//!
//! Every worker has the table of all members, so that a message crosses to another worker at most
//! once and is fanned out there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::command::{DataDialect, Member};
use crate::error::DropReason;
use crate::ids::{ParticipantId, RoomId, TransportId, WorkerId};

use super::{DataMessage, RESERVED_TOPIC_PREFIX};

/// Messages per second that one client may send to the server: each costs Python's time.
const SERVER_MESSAGES_PER_S: u32 = 50;
/// What that makes between two messages.
const SERVER_INTERVAL: Duration = Duration::from_millis(1000 / SERVER_MESSAGES_PER_S as u64);
/// How much may come at once: a second's worth.
const SERVER_BURST: Duration = Duration::from_secs(1);

/// One receiver of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Carries it there.
    pub transport: TransportId,
    /// Owns the transport.
    pub worker: WorkerId,
    /// How the receiver wants it written.
    pub dialect: DataDialect,
}

/// What the table adds to a message that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed<'a> {
    /// Scope of the message.
    pub room: RoomId,
    /// Identity to write into it; empty for a hidden sender.
    pub sender: &'a str,
    /// Number to write into it; 0 unless reliable.
    pub sequence: u32,
    /// For the control plane, and for nobody else.
    pub to_server: bool,
}

/// Why a message goes nowhere. The sender is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The transport is no member's.
    #[error("sender is not a member of a room")]
    NotAMember,
    /// The grant does not allow to publish data.
    #[error("sender may not publish data")]
    NotAllowed,
    /// None of the destinations is in the room.
    #[error("no destination is in the room")]
    NoDestination,
    /// A reserved topic, addressed to participants.
    #[error("topic is reserved")]
    ReservedTopic,
    /// More than 50 messages a second to the server.
    #[error("too many messages to the server")]
    RateLimited,
}

impl Refused {
    /// How many reasons there are.
    pub const COUNT: usize = 5;

    /// Position in [`RoutingTable::refused`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl From<Refused> for DropReason {
    fn from(_: Refused) -> Self {
        DropReason::DataNotRoutable
    }
}

/// Rooms and their members.
#[derive(Debug, Default)]
pub struct RoutingTable {
    rooms: FxHashMap<RoomId, Room>,
    by_transport: FxHashMap<TransportId, (RoomId, ParticipantId)>,
    refused: [u64; Refused::COUNT],
}

#[derive(Debug, Default)]
struct Room {
    members: BTreeMap<ParticipantId, Entry>,
    /// Clients choose identities, hence the hasher with a secret.
    by_identity: HashMap<String, ParticipantId>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    sequence: u32,
    /// When the next message to the server would be on time (a virtual schedule, GCRA).
    server_due: Option<Instant>,
}

impl Entry {
    fn target(&self) -> Target {
        let Member { transport, worker, dialect, .. } = self.member;
        Target { transport, worker, dialect }
    }

    fn may_ask_server(&mut self, now: Instant) -> bool {
        let due = self.server_due.map_or(now, |due| due.max(now));
        if due + SERVER_INTERVAL > now + SERVER_BURST {
            return false;
        }
        self.server_due = Some(due + SERVER_INTERVAL);
        true
    }
}

impl RoutingTable {
    /// Adds a member, or changes what is known about one; its sequence numbers go on.
    pub fn set_member(&mut self, member: Member) {
        let (room_id, participant) = (member.room, member.participant);
        let room = self.rooms.entry(room_id).or_default();
        let (mut sequence, mut server_due) = (0, None);
        if let Some(old) = room.members.remove(&participant) {
            (sequence, server_due) = (old.sequence, old.server_due);
            room.forget_identity(&old.member);
            self.forget_transport(&old.member);
        }
        self.by_transport.insert(member.transport, (room_id, participant));
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.by_identity.insert(member.identity.clone(), participant);
            room.members.insert(participant, Entry { member, sequence, server_due });
        }
    }

    /// Takes a member out; the room goes with its last one.
    pub fn remove_member(&mut self, room_id: RoomId, participant: ParticipantId) {
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(old) = room.members.remove(&participant) else { return };
        room.forget_identity(&old.member);
        if room.members.is_empty() {
            self.rooms.remove(&room_id);
        }
        self.forget_transport(&old.member);
    }

    /// The dialect of the member behind a transport.
    #[must_use]
    pub fn dialect(&self, transport: TransportId) -> Option<DataDialect> {
        let (room, participant) = self.by_transport.get(&transport)?;
        Some(self.rooms.get(room)?.members.get(participant)?.member.dialect)
    }

    /// Finds the receivers of a message, into the cleared `targets`; the sender is never one. None
    /// when it is for the server, or when the sender is alone.
    ///
    /// # Errors
    /// See [`Refused`]; counted.
    pub fn route(
        &mut self,
        sender: TransportId,
        message: &DataMessage<'_>,
        now: Instant,
        targets: &mut Vec<Target>,
    ) -> Result<Routed<'_>, Refused> {
        targets.clear();
        match self.find_targets(sender, message, now, targets) {
            Ok((room, participant, to_server)) => {
                self.stamp(room, participant, message.reliable, to_server)
            }
            Err(refused) => Err(self.refuse(refused)),
        }
    }

    /// Receivers on one worker of a message from the server, into the cleared `targets`; without
    /// `destinations` all members of the room.
    pub fn route_from_server(
        &self,
        room: RoomId,
        destinations: &[ParticipantId],
        worker: WorkerId,
        targets: &mut Vec<Target>,
    ) {
        targets.clear();
        let Some(room) = self.rooms.get(&room) else { return };
        if destinations.is_empty() {
            targets.extend(room.members.values().map(Entry::target));
        } else {
            let chosen: BTreeSet<&ParticipantId> = destinations.iter().collect();
            targets.extend(chosen.iter().filter_map(|id| room.members.get(id)).map(Entry::target));
        }
        targets.retain(|target| target.worker == worker);
    }

    /// How often each reason was given, by [`Refused::index`].
    #[must_use]
    pub fn refused(&self) -> &[u64; Refused::COUNT] {
        &self.refused
    }

    fn find_targets(
        &mut self,
        sender: TransportId,
        message: &DataMessage<'_>,
        now: Instant,
        targets: &mut Vec<Target>,
    ) -> Result<(RoomId, ParticipantId, bool), Refused> {
        let (room_id, participant) = *self.by_transport.get(&sender).ok_or(Refused::NotAMember)?;
        let room = self.rooms.get_mut(&room_id).ok_or(Refused::NotAMember)?;
        let entry = room.members.get_mut(&participant).ok_or(Refused::NotAMember)?;
        if message.topic.starts_with(RESERVED_TOPIC_PREFIX) {
            if !message.destinations.is_empty() {
                return Err(Refused::ReservedTopic);
            }
            if !entry.may_ask_server(now) {
                return Err(Refused::RateLimited);
            }
            return Ok((room_id, participant, true));
        }
        if !entry.member.can_publish {
            return Err(Refused::NotAllowed);
        }
        if message.destinations.is_empty() {
            let others = room.members.iter().filter(|(id, _)| **id != participant);
            targets.extend(others.map(|(_, entry)| entry.target()));
        } else {
            let chosen: BTreeSet<ParticipantId> = message
                .destinations
                .iter()
                .filter_map(|identity| room.by_identity.get(*identity))
                .copied()
                .filter(|id| *id != participant)
                .collect();
            targets.extend(chosen.iter().filter_map(|id| room.members.get(id)).map(Entry::target));
            if targets.is_empty() {
                return Err(Refused::NoDestination);
            }
        }
        Ok((room_id, participant, false))
    }

    fn stamp(
        &mut self,
        room: RoomId,
        participant: ParticipantId,
        reliable: bool,
        to_server: bool,
    ) -> Result<Routed<'_>, Refused> {
        let entry = self
            .rooms
            .get_mut(&room)
            .and_then(|found| found.members.get_mut(&participant))
            .ok_or(Refused::NotAMember)?;
        let mut sequence = 0;
        if reliable && !to_server {
            // 0 means none, also after a wrap.
            entry.sequence = entry.sequence.checked_add(1).unwrap_or(1);
            sequence = entry.sequence;
        }
        let sender = if entry.member.hidden { "" } else { entry.member.identity.as_str() };
        Ok(Routed { room, sender, sequence, to_server })
    }

    fn refuse(&mut self, refused: Refused) -> Refused {
        self.refused[refused.index()] += 1;
        refused
    }

    fn forget_transport(&mut self, member: &Member) {
        let owner = (member.room, member.participant);
        if self.by_transport.get(&member.transport) == Some(&owner) {
            self.by_transport.remove(&member.transport);
        }
    }
}

impl Room {
    /// The identity may already be that of a newer session.
    fn forget_identity(&mut self, member: &Member) {
        if self.by_identity.get(&member.identity) == Some(&member.participant) {
            self.by_identity.remove(&member.identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId(1);

    fn member(id: u64, identity: &str) -> Member {
        Member {
            room: ROOM,
            participant: ParticipantId(id),
            identity: identity.to_owned(),
            transport: TransportId(100 + id),
            worker: WorkerId((id % 2) as u8),
            dialect: DataDialect::Native,
            can_publish: true,
            hidden: false,
        }
    }

    fn table() -> RoutingTable {
        let mut table = RoutingTable::default();
        for (id, identity) in [(1, "ada"), (2, "bob"), (3, "eve")] {
            table.set_member(member(id, identity));
        }
        table.set_member(Member { room: RoomId(2), ..member(9, "bob") });
        table
    }

    fn to<'a>(destinations: &[&'a str]) -> DataMessage<'a> {
        DataMessage {
            reliable: true,
            destinations: destinations.to_vec(),
            topic: "chat",
            ..DataMessage::default()
        }
    }

    /// Transports (less 100) that a message from the member gets to, in order.
    fn route(
        table: &mut RoutingTable,
        from: u64,
        message: &DataMessage<'_>,
    ) -> Result<Vec<u64>, Refused> {
        let mut targets = vec![];
        table.route(TransportId(100 + from), message, Instant::now(), &mut targets)?;
        let mut ids: Vec<u64> = targets.iter().map(|target| target.transport.0 - 100).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    #[test]
    fn messages_go_to_everyone_else_in_the_room_or_to_the_chosen() {
        let mut table = table();
        assert_eq!(route(&mut table, 1, &to(&[])), Ok(vec![2, 3]));
        assert_eq!(route(&mut table, 1, &to(&["bob"])), Ok(vec![2]));
        assert_eq!(route(&mut table, 1, &to(&["bob", "bob", "nobody", "ada"])), Ok(vec![2]));
        assert_eq!(route(&mut table, 1, &to(&["nobody"])), Err(Refused::NoDestination));
        assert_eq!(route(&mut table, 1, &to(&["ada"])), Err(Refused::NoDestination));
        assert_eq!(route(&mut table, 9, &to(&[])), Ok(vec![]), "alone in the other room");
        assert_eq!(route(&mut table, 7, &to(&[])), Err(Refused::NotAMember));
        assert_eq!(table.refused()[Refused::NoDestination.index()], 2);
        assert_eq!(table.refused()[Refused::NotAMember.index()], 1);
    }

    #[test]
    fn reliable_messages_of_one_sender_are_numbered() {
        let mut table = table();
        let mut numbers = vec![];
        let now = Instant::now();
        for (from, reliable) in [(1, true), (1, false), (2, true), (1, true)] {
            let message = DataMessage { reliable, ..to(&[]) };
            let routed = table.route(TransportId(100 + from), &message, now, &mut vec![]).unwrap();
            numbers.push((routed.sender.to_owned(), routed.sequence));
        }
        let expected = [("ada", 1), ("ada", 0), ("bob", 1), ("ada", 2)];
        assert_eq!(numbers, expected.map(|(sender, number)| (sender.to_owned(), number)));
        table.set_member(Member { transport: TransportId(500), ..member(1, "ada") });
        let routed = table.route(TransportId(500), &to(&[]), now, &mut vec![]).unwrap();
        assert_eq!(routed.sequence, 3, "goes on after a change");
    }

    #[test]
    fn permission_and_visibility_are_the_senders() {
        let mut table = table();
        table.set_member(Member { can_publish: false, ..member(1, "ada") });
        assert_eq!(route(&mut table, 1, &to(&[])), Err(Refused::NotAllowed));
        assert_eq!(route(&mut table, 2, &to(&[])), Ok(vec![1, 3]), "still receives");
        table.set_member(Member { hidden: true, ..member(2, "bob") });
        let routed = table.route(TransportId(102), &to(&[]), Instant::now(), &mut vec![]);
        assert_eq!(routed.unwrap().sender, "");
    }

    #[test]
    fn reserved_topics_reach_the_server_only_and_at_a_bounded_rate() {
        let mut table = table();
        let start = Instant::now();
        let ask = DataMessage { topic: "airside/stats", ..to(&[]) };
        let mut targets = vec![];
        let mut accepted = |table: &mut RoutingTable, count, at| {
            (0..count)
                .filter(|_| {
                    let routed = table.route(TransportId(101), &ask, at, &mut targets);
                    routed.is_ok_and(|routed| routed.to_server && routed.sequence == 0)
                })
                .count()
        };
        assert_eq!(accepted(&mut table, 200, start), 50);
        assert_eq!(accepted(&mut table, 200, start + Duration::from_millis(100)), 5);
        assert_eq!(accepted(&mut table, 200, start + Duration::from_secs(60)), 50);
        assert!(targets.is_empty());
        assert_eq!(table.refused()[Refused::RateLimited.index()], 495);
        let aimed = DataMessage { topic: "airside/stats", ..to(&["bob"]) };
        assert_eq!(route(&mut table, 1, &aimed), Err(Refused::ReservedTopic));
    }

    #[test]
    fn a_newer_session_keeps_its_identity_when_the_older_leaves() {
        let mut table = table();
        table.set_member(member(4, "bob"));
        assert_eq!(route(&mut table, 1, &to(&["bob"])), Ok(vec![4]));
        table.remove_member(ROOM, ParticipantId(2));
        assert_eq!(route(&mut table, 1, &to(&["bob"])), Ok(vec![4]));
        assert_eq!(route(&mut table, 2, &to(&[])), Err(Refused::NotAMember));
        table.set_member(member(4, "robert"));
        assert_eq!(route(&mut table, 1, &to(&["bob"])), Err(Refused::NoDestination));
    }

    #[test]
    fn a_transport_taken_over_stays_with_its_new_owner() {
        let mut table = table();
        table.set_member(Member { transport: TransportId(101), ..member(5, "heir") });
        table.remove_member(ROOM, ParticipantId(1));
        assert_eq!(route(&mut table, 1, &to(&["bob"])), Ok(vec![2]));
        assert_eq!(table.dialect(TransportId(101)), Some(DataDialect::Native));
        assert_eq!(table.dialect(TransportId(999)), None);
    }

    #[test]
    fn nothing_is_left_when_all_have_gone() {
        let mut table = table();
        for (room, id) in [(1, 1), (1, 2), (1, 3), (2, 9), (2, 9), (3, 1)] {
            table.remove_member(RoomId(room), ParticipantId(id));
        }
        assert!(table.rooms.is_empty() && table.by_transport.is_empty());
    }

    #[test]
    fn the_server_reaches_the_members_of_one_worker() {
        let table = table();
        let mut targets = vec![];
        table.route_from_server(ROOM, &[], WorkerId(1), &mut targets);
        assert_eq!(targets.len(), 2);
        let chosen = [ParticipantId(1), ParticipantId(1), ParticipantId(2), ParticipantId(77)];
        table.route_from_server(ROOM, &chosen, WorkerId(1), &mut targets);
        assert_eq!(targets.iter().map(|t| t.transport.0).collect::<Vec<_>>(), [101]);
        table.route_from_server(RoomId(8), &[], WorkerId(1), &mut targets);
        assert!(targets.is_empty());
    }
}
