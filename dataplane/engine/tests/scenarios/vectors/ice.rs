//! Checks that are almost right, addresses that are used again, consent.

use std::time::Duration;

use airside_engine::command::{Command, Target};
use airside_engine::error::DropReason;
use airside_engine::event::TransportState;
use airside_engine::ids::TapId;
use airside_engine::stun::{BindingRequest, IceRole};

use super::stage::{Film, STREAMS, Stage, VP8, source};
use crate::sim::{RawClient, Sim, client_credentials, credentials, sign};

fn answers(sim: &mut Sim, client: &RawClient) -> usize {
    client.receive(sim).iter().filter(|data| data[0] < 4).count()
}

fn with_length(mut message: Vec<u8>) -> Vec<u8> {
    let len = (message.len() - 20) as u16;
    message[2..4].copy_from_slice(&len.to_be_bytes());
    message
}

#[test]
fn checks_that_are_almost_right_prove_nothing() {
    let mut sim = Sim::new(641, 1);
    let client = RawClient::new(&mut sim);
    let good = client.check(|_| {});
    let server = credentials(client.peer, "a");
    let as_user = |username: &str, password: &str| {
        let request = BindingRequest {
            transaction_id: [3; 12],
            username,
            priority: 1,
            role: IceRole::Controlling(1),
            use_candidate: true,
            nomination: None,
        };
        sign(&request, password)
    };
    let username = format!("{}:other", server.ufrag);
    // FINGERPRINT takes 8 bytes at the end, MESSAGE-INTEGRITY 24 before it.
    let no_fingerprint = with_length(good[..good.len() - 8].to_vec());
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let rows = [
        ("unknown ufrag", as_user("00nobody:other", &server.password), 0),
        ("wrong integrity", as_user(&username, "wrong, and as long as another"), 1),
        ("no fingerprint", no_fingerprint, 0),
        ("wrong fingerprint", broken, 0),
        ("no integrity either", with_length(good[..good.len() - 32].to_vec()), 0),
    ];
    for (name, check, refusals) in rows {
        client.send(&mut sim, &check);
        assert_eq!(answers(&mut sim, &client), refusals, "{name}");
        assert_eq!(sim.states(0, client.peer.transport), [], "{name}");
    }
    client.send(&mut sim, &good);
    assert_eq!(answers(&mut sim, &client), 1);
    assert_eq!(sim.states(0, client.peer.transport), [TransportState::IceConnected]);
}

#[test]
fn an_address_serves_another_session_while_the_first_is_alive_and_after_it_was_removed() {
    for removed in [false, true] {
        let mut stage = Stage::new(642, 1);
        let address = stage.publisher.address;
        if removed {
            let transport = stage.publisher.peer.transport;
            stage.sim.command(0, Command::RemoveTransport { transport });
        }
        let mut next = RawClient::new(&mut stage.sim);
        next.address = address;
        let remote = next.remote();
        stage.sim.command(0, Command::SetRemote(remote));
        let check = next.check(|_| {});
        next.send(&mut stage.sim, &check);
        next.shake_hands(&mut stage.sim);
        assert!(next.out.is_some(), "removed: {removed}");
        let last = stage.sim.states(0, next.peer.transport).last().copied();
        assert_eq!(last, Some(TransportState::Connected), "removed: {removed}");
        // Its packets are its own, and those under the old keys are nobody's.
        let unknown = stage.sim.dropped(0, DropReason::RtpUnknownSsrc);
        let forged = stage.sim.dropped(0, DropReason::SrtpAuthFailed);
        let packet = next.rtp(4711, 100, 1, b"of the new session");
        next.send(&mut stage.sim, &packet);
        let packet = stage.publisher.rtp(5, 96, 1, b"of the old one");
        next.send(&mut stage.sim, &packet);
        assert_eq!(stage.sim.dropped(0, DropReason::RtpUnknownSsrc), unknown + 1);
        assert_eq!(stage.sim.dropped(0, DropReason::SrtpAuthFailed), forged + 1);
    }
}

#[test]
fn media_never_stops_while_old_and_new_credentials_come_in_turn() {
    let mut stage = Stage::new(643, 1);
    let mut film = Film::new(0);
    stage.send_all(&film.picture(true, 1));
    let peer = stage.viewer.peer;
    let fresh = credentials(peer, "b");
    let restart = Command::RestartIce { transport: peer.transport, local: fresh.clone() };
    let mut seen = Vec::new();
    let mut old_refused = 0;
    for step in 0..100u8 {
        if step == 10 {
            stage.sim.command(0, restart.clone());
        }
        if step >= 20 {
            let username = format!("{}:{}", fresh.ufrag, client_credentials(peer, "b").ufrag);
            let request = BindingRequest {
                transaction_id: [step; 12],
                username: &username,
                priority: 1000,
                role: IceRole::Controlling(1),
                use_candidate: step > 60,
                nomination: None,
            };
            let check = sign(&request, &fresh.password);
            stage.viewer.send(&mut stage.sim, &check);
        }
        let before = stage.sim.dropped(0, DropReason::StunUnknownUfrag);
        let check = stage.viewer.check(|check| check.transaction_id = [100 + step; 12]);
        stage.viewer.send(&mut stage.sim, &check);
        old_refused += stage.sim.dropped(0, DropReason::StunUnknownUfrag) - before;
        stage.send_all(&film.picture(false, 1));
        stage.sim.run_ms(20);
        seen.extend(stage.seen().0);
    }
    seen.extend(stage.see().0);
    let sources: Vec<u64> = seen.iter().map(source).collect();
    assert_eq!(sources, (1000..1101).collect::<Vec<_>>(), "each picture, in order");
    assert_eq!(old_refused, 80, "from the first new check on");
    assert!(!stage.sim.states(0, peer.transport).contains(&TransportState::Disconnected));
}

/// Consent, from the last packet that counts: who can be trusted keeps it, nobody else does.
#[test]
fn consent_is_kept_by_what_the_peer_alone_can_send() {
    let tap = TapId(1);
    for authentic in [true, false] {
        let mut stage = Stage::new(644, 1);
        let target = Target::Tap(tap);
        stage.sim.command(0, Command::AddTarget { track: stage.track, target });
        let mut film = Film::new(0);
        let transport = stage.publisher.peer.transport;
        let check = stage.publisher.check(|_| {});
        stage.publisher.send(&mut stage.sim, &check);
        let last = stage.sim.now;
        let state = |stage: &Stage| stage.sim.states(0, transport).last().copied();
        for tenth in 1..=301 {
            // At 29.9 s, and at 30.1.
            let at = last + Duration::from_millis(100 * tenth);
            stage.sim.run(at - stage.sim.now);
            let expected = match tenth {
                _ if authentic => TransportState::Connected,
                0..100 => TransportState::Connected,
                100..300 => TransportState::Disconnected,
                _ => TransportState::Closed,
            };
            assert_eq!(state(&stage), Some(expected), "{tenth}00 ms, authentic: {authentic}");
            if tenth % 10 != 5 {
                continue;
            }
            let sent = film.picture(true, 1)[0].clone();
            let mut media = stage.protect(STREAMS[0].0, VP8, &sent);
            if !authentic {
                *media.last_mut().unwrap() ^= 1;
                // An alert in clear, and application data that nobody encrypted.
                for kind in [21, 23] {
                    let record = [kind, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0];
                    stage.publisher.send(&mut stage.sim, &record);
                }
            }
            stage.publisher.send(&mut stage.sim, &media);
            stage.sim.strays.clear();
        }
        let heard = stage.sim.nodes[0].taps.get(&tap).map_or(0, Vec::len);
        assert_eq!(heard, if authentic { 30 } else { 0 });
    }
}
