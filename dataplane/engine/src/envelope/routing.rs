//! Who gets a data message. Pure: no channel is touched here.
//!
//! Every worker has the table of all members, so that a message crosses to another worker at most
//! once and is fanned out there.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::command::{DataDialect, Member};
use crate::error::DropReason;
use crate::ids::{ParticipantId, RoomId, TransportId, WorkerId};

use super::{Content, DataMessage, RESERVED_TOPIC_PREFIX};

/// Messages per second that one client may send to the server: each costs Python's time.
const SERVER_MESSAGES_PER_S: u32 = 50;
/// What that makes between two messages.
const SERVER_INTERVAL: Duration = Duration::from_millis(1000 / SERVER_MESSAGES_PER_S as u64);
/// How much may come at once: a second's worth.
const SERVER_BURST: Duration = Duration::from_secs(1);
/// Nonces remembered per room: repetitions come soon or never.
const NONCES: usize = 256;

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
    /// Public id to write into it; empty likewise.
    pub sender_sid: &'a str,
    /// The sender may speak for others.
    pub agent: bool,
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
    /// It came before.
    #[error("message was repeated")]
    Repeated,
}

impl Refused {
    /// How many reasons there are.
    pub const COUNT: usize = 6;

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
    nonce_hasher: RandomState,
    refused: [u64; Refused::COUNT],
}

#[derive(Debug, Default)]
struct Room {
    members: BTreeMap<ParticipantId, Entry>,
    /// Clients choose identities, hence the hasher with a secret.
    by_identity: HashMap<String, ParticipantId>,
    by_sid: HashMap<String, ParticipantId>,
    /// Hashes of the newest nonces, oldest first.
    nonces: VecDeque<u64>,
}

#[derive(Debug)]
struct Entry {
    member: Member,
    /// Of the newest reliable message that we numbered.
    sequence: u32,
    /// Of the newest reliable message that its sender numbered.
    received: u32,
    /// When the next message to the server would be on time (a virtual schedule, GCRA).
    server_due: Option<Instant>,
}

impl Entry {
    fn target(&self) -> Target {
        let Member { transport, worker, dialect, .. } = self.member;
        Target { transport, worker, dialect }
    }

    /// A client that numbers its messages repeats some after a break: each counts once.
    fn check_order(&mut self, message: &DataMessage<'_>) -> Result<(), Refused> {
        if message.original.is_some() && message.reliable && message.sequence > 0 {
            if message.sequence <= self.received {
                return Err(Refused::Repeated);
            }
            self.received = message.sequence;
        }
        Ok(())
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
        let (mut sequence, mut received, mut server_due) = (0, 0, None);
        if let Some(old) = room.members.remove(&participant) {
            (sequence, received, server_due) = (old.sequence, old.received, old.server_due);
            room.forget_names(&old.member);
            self.forget_transports(&old.member);
        }
        for transport in transports(&member) {
            self.by_transport.insert(transport, (room_id, participant));
        }
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.by_identity.insert(member.identity.clone(), participant);
            room.by_sid.insert(member.sid.clone(), participant);
            room.members.insert(participant, Entry { member, sequence, received, server_due });
        }
    }

    /// Takes a member out; the room goes with its last one.
    pub fn remove_member(&mut self, room_id: RoomId, participant: ParticipantId) {
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let Some(old) = room.members.remove(&participant) else { return };
        room.forget_names(&old.member);
        if room.members.is_empty() {
            self.rooms.remove(&room_id);
        }
        self.forget_transports(&old.member);
    }

    /// The dialect of the member behind a transport.
    #[must_use]
    pub fn dialect(&self, transport: TransportId) -> Option<DataDialect> {
        let (room, participant) = self.by_transport.get(&transport)?;
        Some(self.rooms.get(room)?.members.get(participant)?.member.dialect)
    }

    /// The number of the newest reliable message that came by a transport from a client that numbers
    /// them; 0: none. Known to the worker of that transport alone.
    #[must_use]
    pub fn received(&self, transport: TransportId) -> u32 {
        let entry = self.by_transport.get(&transport).and_then(|(room, participant)| {
            self.rooms.get(room).and_then(|room| room.members.get(participant))
        });
        entry.map_or(0, |entry| entry.received)
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
        entry.check_order(message)?;
        if for_server(message) {
            if message.topic.starts_with(RESERVED_TOPIC_PREFIX) && !message.destinations.is_empty()
            {
                return Err(Refused::ReservedTopic);
            }
            if !entry.may_ask_server(now) {
                return Err(Refused::RateLimited);
            }
            return Ok((room_id, participant, true));
        }
        let content = message.original.map_or(Content::Plain, |original| original.content);
        if !entry.member.can_publish || (content == Content::Transcription && !entry.member.agent) {
            return Err(Refused::NotAllowed);
        }
        let nonce = message.original.map_or(&[][..], |original| original.nonce);
        if !nonce.is_empty() && !room.note_nonce(self.nonce_hasher.hash_one(nonce)) {
            return Err(Refused::Repeated);
        }
        let reads = |entry: &&Entry| {
            message.is_for(entry.member.dialect)
                && (content != Content::Metrics || entry.member.metrics)
        };
        if message.destinations.is_empty() && message.destination_sids.is_empty() {
            let others = room.members.iter().filter(|(id, _)| **id != participant);
            targets.extend(others.map(|(_, entry)| entry).filter(reads).map(Entry::target));
        } else {
            let by_identity =
                message.destinations.iter().filter_map(|identity| room.by_identity.get(*identity));
            let by_sid = message.destination_sids.iter().filter_map(|sid| room.by_sid.get(*sid));
            let chosen: BTreeSet<ParticipantId> =
                by_identity.chain(by_sid).copied().filter(|id| *id != participant).collect();
            let chosen = chosen.iter().filter_map(|id| room.members.get(id));
            targets.extend(chosen.filter(reads).map(Entry::target));
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
        let Member { hidden, identity, sid, agent, .. } = &entry.member;
        let (sender, sender_sid) =
            if *hidden { ("", "") } else { (identity.as_str(), sid.as_str()) };
        Ok(Routed { room, sender, sender_sid, agent: *agent, sequence, to_server })
    }

    fn refuse(&mut self, refused: Refused) -> Refused {
        self.refused[refused.index()] += 1;
        refused
    }

    fn forget_transports(&mut self, member: &Member) {
        let owner = (member.room, member.participant);
        for transport in transports(member) {
            if self.by_transport.get(&transport) == Some(&owner) {
                self.by_transport.remove(&transport);
            }
        }
    }
}

impl Room {
    /// The identity may already be that of a newer session.
    fn forget_names(&mut self, member: &Member) {
        if self.by_identity.get(&member.identity) == Some(&member.participant) {
            self.by_identity.remove(&member.identity);
        }
        if self.by_sid.get(&member.sid) == Some(&member.participant) {
            self.by_sid.remove(&member.sid);
        }
    }

    /// Whether it is new.
    fn note_nonce(&mut self, nonce: u64) -> bool {
        if self.nonces.contains(&nonce) {
            return false;
        }
        if self.nonces.len() == NONCES {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
        true
    }
}

/// The transports that a member's messages may come by.
fn transports(member: &Member) -> impl Iterator<Item = TransportId> + use<> {
    [Some(member.transport), member.uplink].into_iter().flatten()
}

/// By its topic, or because an answer to the server names it as the destination.
fn for_server(message: &DataMessage<'_>) -> bool {
    message.topic.starts_with(RESERVED_TOPIC_PREFIX)
        || message.destinations.first().is_some_and(|to| to.starts_with(RESERVED_TOPIC_PREFIX))
}

#[cfg(test)]
mod tests;
