//! Both agents against each other and against hand-made checks, on a virtual clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Client, IceChange, IceState, Responder};
use crate::command::IceCredentials;
use crate::error::DropReason;
use crate::net::{Protocol, Tuple};
use crate::stun::{BindingRequest, IceRole, MAX_MESSAGE_LEN, Message, write_binding_request};

fn credentials(ufrag: &str) -> IceCredentials {
    IceCredentials { ufrag: ufrag.into(), password: format!("password-of-{ufrag}-long-enough") }
}

fn tuple(port: u16) -> Tuple {
    Tuple { protocol: Protocol::Udp, local: 0, remote: SocketAddr::from(([192, 0, 2, 1], port)) }
}

/// A check towards `to`, before it is signed.
fn check(username: &str) -> BindingRequest<'_> {
    BindingRequest {
        transaction_id: [7; 12],
        username,
        priority: 100,
        role: IceRole::Controlling(1),
        use_candidate: false,
        nomination: None,
    }
}

struct Lite {
    agent: Responder,
    now: Instant,
    reply: Vec<u8>,
}

impl Lite {
    fn new() -> Self {
        let now = Instant::now();
        Self { agent: Responder::new(credentials("00server"), now), now, reply: Vec::new() }
    }

    fn at(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }

    fn request(
        &mut self,
        port: u16,
        request: &BindingRequest<'_>,
        password: &str,
    ) -> Result<IceChange, DropReason> {
        let mut bytes = [0; MAX_MESSAGE_LEN];
        let len = write_binding_request(&mut bytes, request, password.as_bytes()).unwrap();
        self.raw(port, &bytes[..len])
    }

    fn raw(&mut self, port: u16, bytes: &[u8]) -> Result<IceChange, DropReason> {
        let message = Message::parse(bytes).unwrap();
        let (ufrag, _) = message.ufrags().unwrap();
        self.reply.clear();
        let (now, len) = (self.now, bytes.len());
        self.agent.handle_request(ufrag, tuple(port), &message, len, now, &mut self.reply)
    }

    /// A valid check from `port`.
    fn valid(&mut self, port: u16, adjust: impl FnOnce(&mut BindingRequest<'_>)) -> IceChange {
        let mut request = check("00server:client");
        adjust(&mut request);
        let password = credentials("00server").password;
        self.request(port, &request, &password).unwrap()
    }

    fn selected(&self) -> u16 {
        self.agent.paths().selected().map_or(0, |tuple| tuple.remote.port())
    }

    fn error_code(&self) -> Option<u16> {
        Message::parse(&self.reply).unwrap().error_code()
    }
}

#[test]
fn first_check_selects_and_answers_with_the_senders_address() {
    let mut lite = Lite::new();
    let change = lite.valid(1, |_| {});
    assert_eq!(change.validated, Some(tuple(1)));
    assert_eq!(change.selected, Some(tuple(1)));
    assert_eq!(change.state, Some(IceState::Connected));
    let reply = Message::parse(&lite.reply).unwrap();
    assert_eq!(reply.xor_mapped_address(), Some(tuple(1).remote));
    assert!(reply.integrity_matches(credentials("00server").password.as_bytes()));
    assert!(reply.fingerprint_matches());
}

#[test]
fn wrong_password_gets_a_small_401_and_changes_nothing() {
    let mut lite = Lite::new();
    let request = check("00server:client");
    assert_eq!(
        lite.request(1, &request, "wrong password of some length"),
        Err(DropReason::StunBadIntegrity)
    );
    assert_eq!(lite.error_code(), Some(401));
    assert_eq!(lite.agent.state(), IceState::New);
    assert_eq!(lite.selected(), 0);
}

#[test]
fn refusals_end_after_twenty_per_second_but_valid_checks_go_on() {
    let mut lite = Lite::new();
    let request = check("00server:client");
    let outcomes: Vec<_> =
        (0..30).map(|_| lite.request(1, &request, "wrong password").unwrap_err()).collect();
    assert_eq!(outcomes[19], DropReason::StunBadIntegrity);
    assert_eq!(outcomes[20], DropReason::StunRateLimited);
    assert!(lite.reply.is_empty());
    assert_eq!(lite.valid(2, |_| {}).state, Some(IceState::Connected));
    assert_eq!(lite.at(1.0).request(1, &request, "wrong"), Err(DropReason::StunBadIntegrity));
}

#[test]
fn controlled_peer_is_told_of_the_role_conflict() {
    let mut lite = Lite::new();
    let mut request = check("00server:client");
    request.role = IceRole::Controlled(1);
    let password = credentials("00server").password;
    assert_eq!(lite.request(1, &request, &password), Err(DropReason::StunUnexpected));
    assert_eq!(lite.error_code(), Some(487));
}

#[test]
fn no_answer_is_longer_than_its_request() {
    let mut lite = Lite::new();
    let mut bytes = [0; MAX_MESSAGE_LEN];
    let request = check("00server:c");
    for password in [credentials("00server").password.as_str(), "wrong"] {
        let len = write_binding_request(&mut bytes, &request, password.as_bytes()).unwrap();
        let _ = lite.raw(1, &bytes[..len]);
        assert!(lite.reply.len() <= len);
    }
}

#[test]
fn nomination_moves_a_connected_agent_and_aggressive_nomination_does_not_flap() {
    let mut lite = Lite::new();
    lite.valid(1, |_| {});
    assert_eq!(lite.valid(2, |_| {}).selected, None, "remembered only");
    assert_eq!(lite.valid(2, |check| check.use_candidate = true).selected, Some(tuple(2)));
    let mut switches = 0;
    for step in 0..400u16 {
        let change = lite.at(0.05).valid(1 + step % 2, |check| check.use_candidate = true);
        switches += usize::from(change.selected.is_some());
    }
    assert_eq!(switches, 0, "the selected path is never silent for 3 s");
    assert_eq!(lite.at(3.1).valid(1, |check| check.use_candidate = true).selected, Some(tuple(1)));
}

#[test]
fn better_path_that_carries_media_wins_by_use_candidate() {
    let mut lite = Lite::new();
    lite.valid(1, |check| check.use_candidate = true);
    let now = lite.now;
    lite.agent.on_media(tuple(1), now);
    let better = |check: &mut BindingRequest<'_>| {
        check.use_candidate = true;
        check.priority = 200;
    };
    assert_eq!(lite.valid(2, better).selected, None, "no media there yet");
    assert_eq!(lite.agent.on_media(tuple(2), now), None, "both carry media");
    assert_eq!(lite.valid(2, better).selected, Some(tuple(2)));
}

#[test]
fn greater_nomination_value_moves_at_once_and_a_smaller_never() {
    let mut lite = Lite::new();
    lite.valid(1, |check| check.nomination = Some(5));
    assert_eq!(lite.valid(2, |check| check.nomination = Some(5)).selected, None);
    assert_eq!(lite.valid(2, |check| check.nomination = Some(6)).selected, Some(tuple(2)));
    assert_eq!(lite.valid(1, |check| check.nomination = Some(4)).selected, None);
}

#[test]
fn media_moves_the_path_only_to_a_checked_address() {
    let mut lite = Lite::new();
    lite.valid(1, |check| check.use_candidate = true);
    let start = lite.now;
    lite.agent.on_media(tuple(1), start);
    let later = start + Duration::from_millis(300);
    assert_eq!(lite.agent.on_media(tuple(2), later), None);
    assert_eq!(lite.selected(), 1);
    lite.valid(2, |_| {});
    assert_eq!(lite.agent.on_media(tuple(2), later), Some(tuple(2)));
    assert_eq!(lite.agent.on_media(tuple(1), later), None, "a straggler of the old path");
}

#[test]
fn path_explosion_keeps_eight_and_the_selected_one() {
    let mut lite = Lite::new();
    lite.valid(1, |check| check.use_candidate = true);
    let mut evicted = Vec::new();
    for port in 2..100 {
        evicted.extend(lite.at(0.01).valid(port, |_| {}).evicted);
    }
    assert_eq!(lite.agent.paths().iter().count(), 8);
    assert_eq!(evicted.len(), 91);
    assert!(!evicted.contains(&tuple(1)));
    assert_eq!(lite.selected(), 1);
}

#[test]
fn consent_runs_out_in_two_steps() {
    let mut lite = Lite::new();
    lite.valid(1, |_| {});
    let deadline = lite.agent.poll_timeout().unwrap();
    assert_eq!(deadline - lite.now, Duration::from_secs(10));
    let now = lite.at(9.9).now;
    assert_eq!(lite.agent.handle_timeout(now).state, None);
    let now = lite.at(0.1).now;
    assert_eq!(lite.agent.handle_timeout(now).state, Some(IceState::Disconnected));
    let now = lite.at(19.9).now;
    assert_eq!(lite.agent.handle_timeout(now).state, None);
    let now = lite.at(0.1).now;
    assert_eq!(lite.agent.handle_timeout(now).state, Some(IceState::Expired));
    assert_eq!(lite.agent.poll_timeout(), None);
}

#[test]
fn authenticated_media_from_a_checked_address_keeps_consent_and_no_other() {
    let mut lite = Lite::new();
    lite.valid(1, |_| {});
    for _ in 0..10 {
        let now = lite.at(5.0).now;
        lite.agent.on_media(tuple(1), now);
        assert_eq!(lite.agent.handle_timeout(now).state, None);
    }
    let now = lite.at(10.0).now;
    assert_eq!(lite.agent.handle_timeout(now).state, Some(IceState::Disconnected));
    lite.agent.on_media(tuple(2), now);
    assert_eq!(lite.agent.handle_timeout(now).state, None, "nobody checked this address");
    lite.agent.on_media(tuple(1), now);
    assert_eq!(lite.agent.handle_timeout(now).state, Some(IceState::Connected));
}

#[test]
fn a_check_ends_disconnection_and_selects_its_path() {
    let mut lite = Lite::new();
    lite.valid(1, |check| check.use_candidate = true);
    let now = lite.at(11.0).now;
    lite.agent.handle_timeout(now);
    let change = lite.valid(2, |_| {});
    assert_eq!(change.state, Some(IceState::Connected));
    assert_eq!(change.selected, Some(tuple(2)));
}

#[test]
fn restart_keeps_old_credentials_until_the_first_new_check() {
    let mut lite = Lite::new();
    lite.valid(1, |check| check.use_candidate = true);
    assert_eq!(lite.agent.restart(credentials("00second")), None);
    assert_eq!(lite.agent.ufrags().collect::<Vec<_>>(), ["00server", "00second"]);
    lite.valid(1, |_| {});
    let fresh = credentials("00second").password;
    let change = lite.request(2, &check("00second:client"), &fresh).unwrap();
    assert_eq!(change.retired.as_deref(), Some("00server"));
    assert_eq!(lite.selected(), 1, "media goes on by the old path");
    let old = credentials("00server").password;
    assert_eq!(lite.request(1, &check("00server:client"), &old), Err(DropReason::StunUnknownUfrag));
    let mut nominating = check("00second:client");
    nominating.use_candidate = true;
    let change = lite.request(2, &nominating, &fresh).unwrap();
    assert_eq!(change.selected, Some(tuple(2)));
}

#[test]
fn two_restarts_in_a_row_end_the_oldest_credentials() {
    let mut lite = Lite::new();
    assert_eq!(lite.agent.restart(credentials("00second")), None);
    assert_eq!(lite.agent.restart(credentials("00third")).as_deref(), Some("00server"));
}

/// A client that runs against `Lite` with a switchable network.
struct Peer {
    lite: Lite,
    client: Client,
    /// Ports of the server that answer.
    reachable: Vec<u16>,
    checks: usize,
}

impl Peer {
    fn new(ports: &[u16]) -> Self {
        let lite = Lite::new();
        let mut client = Client::new(credentials("client"), 0, 1, lite.now);
        for port in ports {
            client.add_candidate(tuple(*port).remote, lite.now);
        }
        client.set_remote(credentials("00server"), lite.now);
        Self { lite, client, reachable: ports.to_vec(), checks: 0 }
    }

    fn run(&mut self, seconds: f64) -> Vec<IceState> {
        let end = self.lite.now + Duration::from_secs_f64(seconds);
        let mut states = Vec::new();
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.lite.now = self.lite.now.max(at);
            let now = self.lite.now;
            let mut sent = Vec::new();
            let change =
                self.client.handle_timeout(now, |to, bytes| sent.push((to, bytes.to_vec())));
            states.extend(change.state);
            for (to, bytes) in sent {
                self.checks += 1;
                let port = to.remote.port();
                if !self.reachable.contains(&port) || self.lite.raw(port, &bytes).is_err() {
                    continue;
                }
                let reply = self.lite.reply.clone();
                let reply = Message::parse(&reply).unwrap();
                states.extend(self.client.handle_response(to, &reply, now).unwrap().state);
            }
        }
        self.lite.now = end;
        states
    }
}

#[test]
fn client_connects_nominates_and_keeps_consent_with_few_checks() {
    let mut peer = Peer::new(&[1, 2, 3]);
    assert_eq!(peer.run(1.0), [IceState::Connected, IceState::Completed]);
    assert_eq!(peer.lite.agent.state(), IceState::Completed);
    assert_eq!(peer.client.paths().selected(), peer.lite.agent.paths().selected());
    let before = peer.checks;
    assert_eq!(peer.run(60.0), []);
    assert!((20..30).contains(&(peer.checks - before)), "{}", peer.checks - before);
    let now = peer.lite.now;
    assert_eq!(peer.lite.agent.handle_timeout(now).state, None, "consent is fresh");
}

#[test]
fn client_finds_the_only_candidate_that_answers_and_moves_when_it_dies() {
    let mut peer = Peer::new(&[1, 2, 3]);
    peer.reachable = vec![2];
    peer.run(1.0);
    assert_eq!(peer.client.paths().selected(), Some(tuple(2)));
    peer.reachable = vec![3];
    peer.run(8.0);
    assert_eq!(peer.client.paths().selected(), Some(tuple(3)));
    assert_eq!(peer.lite.selected(), 3);
}

#[test]
fn client_loses_consent_and_finds_back() {
    let mut peer = Peer::new(&[1]);
    peer.run(1.0);
    peer.reachable.clear();
    assert_eq!(peer.run(15.0), [IceState::Disconnected]);
    peer.reachable.push(1);
    assert_eq!(peer.run(4.0), [IceState::Completed], "the old path is nominated again");
    peer.reachable.clear();
    assert_eq!(peer.run(40.0), [IceState::Disconnected, IceState::Expired]);
}

#[test]
fn client_follows_a_restart() {
    let mut peer = Peer::new(&[1]);
    peer.run(1.0);
    peer.lite.agent.restart(credentials("00second"));
    peer.client.restart(credentials("other"));
    peer.client.set_remote(credentials("00second"), peer.lite.now);
    peer.run(3.0);
    assert_eq!(peer.lite.agent.ufrags().collect::<Vec<_>>(), ["00second"]);
    assert_eq!(peer.lite.agent.state(), IceState::Completed);
}

#[test]
fn answers_to_nothing_asked_are_refused() {
    let mut peer = Peer::new(&[1]);
    peer.run(1.0);
    let reply = peer.lite.reply.clone();
    let reply = Message::parse(&reply).unwrap();
    let now = peer.lite.now;
    assert_eq!(peer.client.handle_response(tuple(1), &reply, now), Err(DropReason::StunUnexpected));
}

#[test]
fn ten_thousand_candidates_are_not_kept() {
    let now = Instant::now();
    let mut client = Client::new(credentials("client"), 0, 1, now);
    for port in 0..10_000 {
        client.add_candidate(tuple(port).remote, now);
    }
    client.set_remote(credentials("00server"), now);
    let mut checks = 0;
    for step in 0..1000 {
        let at = now + Duration::from_millis(step * 10);
        client.handle_timeout(at, |_, _| checks += 1);
    }
    assert!(checks <= 200, "paced: {checks}");
}
