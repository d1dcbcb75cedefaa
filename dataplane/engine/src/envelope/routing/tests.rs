use super::super::Original;
use super::*;

const ROOM: RoomId = RoomId(1);

fn member(id: u64, identity: &str) -> Member {
    Member {
        room: ROOM,
        participant: ParticipantId(id),
        identity: identity.to_owned(),
        sid: format!("PA_{id}"),
        transport: TransportId(100 + id),
        worker: WorkerId((id % 2) as u8),
        uplink: None,
        dialect: DataDialect::Native,
        can_publish: true,
        hidden: false,
        agent: false,
        metrics: false,
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

fn packet(content: Content, sequence: u32, nonce: &'static [u8]) -> DataMessage<'static> {
    let original = Original { dialect: DataDialect::LiveKit, bytes: &[], content, nonce };
    DataMessage { reliable: true, sequence, original: Some(original), ..DataMessage::default() }
}

#[test]
fn what_one_dialect_can_read_goes_to_its_clients() {
    let mut table = table();
    for (id, identity) in [(1, "ada"), (3, "eve")] {
        table.set_member(Member { dialect: DataDialect::LiveKit, ..member(id, identity) });
    }
    assert_eq!(route(&mut table, 1, &packet(Content::Plain, 0, b"")), Ok(vec![2, 3]));
    assert_eq!(route(&mut table, 1, &packet(Content::Other, 0, b"")), Ok(vec![3]));
    let to_native = DataMessage { destinations: vec!["bob"], ..packet(Content::Other, 0, b"") };
    assert_eq!(route(&mut table, 1, &to_native), Err(Refused::NoDestination));
    let by_sid = DataMessage { destination_sids: vec!["PA_3"], ..packet(Content::Plain, 0, b"") };
    assert_eq!(route(&mut table, 1, &by_sid), Ok(vec![3]));
}

#[test]
fn transcriptions_are_from_agents_and_figures_for_those_who_may_have_them() {
    let mut table = table();
    let all = [(1, "ada"), (2, "bob"), (3, "eve")];
    for (id, identity) in all {
        let livekit = Member { dialect: DataDialect::LiveKit, ..member(id, identity) };
        table.set_member(Member { agent: id == 2, metrics: id == 3, ..livekit });
    }
    let words = packet(Content::Transcription, 0, b"");
    assert_eq!(route(&mut table, 1, &words), Err(Refused::NotAllowed));
    assert_eq!(route(&mut table, 2, &words), Ok(vec![1, 3]));
    assert_eq!(route(&mut table, 1, &packet(Content::Metrics, 0, b"")), Ok(vec![3]));
}

#[test]
fn what_is_repeated_counts_once() {
    let mut table = table();
    assert!(route(&mut table, 1, &packet(Content::Plain, 1, b"")).is_ok());
    assert!(route(&mut table, 1, &packet(Content::Plain, 3, b"")).is_ok());
    for sequence in [1, 2, 3] {
        let message = packet(Content::Plain, sequence, b"");
        assert_eq!(route(&mut table, 1, &message), Err(Refused::Repeated));
    }
    assert_eq!([1, 2, 7].map(|id| table.received(TransportId(100 + id))), [3, 0, 0]);
    table.set_member(Member { uplink: Some(TransportId(177)), ..member(1, "ada") });
    assert_eq!(table.received(TransportId(177)), 3, "what is known about a member goes on");
    assert!(route(&mut table, 2, &packet(Content::Plain, 1, b"")).is_ok(), "each for himself");
    assert!(route(&mut table, 1, &packet(Content::Plain, 0, b"one")).is_ok());
    let repeated = packet(Content::Plain, 0, b"one");
    assert_eq!(route(&mut table, 2, &repeated), Err(Refused::Repeated));
    assert_eq!(route(&mut table, 9, &repeated), Ok(vec![]), "rooms do not know each other");
}

#[test]
fn messages_come_by_the_uplink_and_answers_to_the_server_are_its_own() {
    let mut table = table();
    table.set_member(Member { uplink: Some(TransportId(177)), ..member(1, "ada") });
    assert_eq!(route(&mut table, 77, &to(&["bob"])), Ok(vec![2]));
    assert_eq!(route(&mut table, 2, &to(&["ada"])), Ok(vec![1]), "by the other one");
    let answer =
        DataMessage { destinations: vec!["airside/rpc"], ..packet(Content::Other, 0, b"") };
    let routed = table.route(TransportId(177), &answer, Instant::now(), &mut vec![]);
    assert!(routed.unwrap().to_server);
    table.remove_member(ROOM, ParticipantId(1));
    assert_eq!(route(&mut table, 77, &to(&["bob"])), Err(Refused::NotAMember));
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
