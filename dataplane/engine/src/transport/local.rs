//! A transport to a process beside ours: records of a ring in shared memory, and nothing below.
//!
//! Only that process has the ring, so there is no address to check and nobody to encrypt against.
//! A record is an RTP or RTCP packet, an SCTP packet, or one of two words: the client says hello until
//! the server answers, and whoever ends says goodbye. That the process has died is told by the shell.

use std::time::{Duration, Instant};

use crate::command::{LocalPath, Role};
use crate::demux::{PacketKind, classify};
use crate::error::DropReason;
use crate::net::Tuple;

/// "I am here": of the client, again and again; of the server, in answer.
const HELLO: &[u8] = &[0];
/// "I am gone".
const GOODBYE: &[u8] = &[1];
/// Between two hellos: the first one is lost only where the ring is full.
const HELLO_INTERVAL: Duration = Duration::from_millis(200);

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Hello,
    Goodbye,
    Rtp,
    Rtcp,
    Sctp,
}

/// Sorts a record by its first bytes. SCTP is what remains: its port numbers are no other's (RFC 7983 has
/// none of them), and its own parser looks at the rest.
///
/// # Errors
/// [`DropReason::NotStunDtlsRtp`]: it says that it is media, and is too short for that.
pub(crate) fn sort(data: &[u8]) -> Result<Record, DropReason> {
    match data {
        HELLO => Ok(Record::Hello),
        GOODBYE => Ok(Record::Goodbye),
        [128..=191, ..] => match classify(data)? {
            PacketKind::Rtcp => Ok(Record::Rtcp),
            _ => Ok(Record::Rtp),
        },
        _ => Ok(Record::Sctp),
    }
}

/// Stands where an ICE agent stands elsewhere.
#[derive(Debug)]
pub(crate) struct Local {
    tuple: Tuple,
    role: Role,
    met: bool,
    /// When the client says hello next.
    hello_at: Option<Instant>,
}

impl Local {
    pub(crate) fn new(path: LocalPath, role: Role, now: Instant) -> Self {
        let hello_at = (role == Role::Client).then_some(now);
        Self { tuple: Tuple::local(path), role, met: false, hello_at }
    }

    pub(crate) fn tuple(&self) -> Tuple {
        self.tuple
    }

    /// The other side has shown up.
    pub(crate) fn is_met(&self) -> bool {
        self.met
    }

    /// The other side is there. True the first time.
    pub(crate) fn on_hello(&mut self, send: impl FnOnce(Tuple, &[u8])) -> bool {
        self.hello_at = None;
        if self.role == Role::Server {
            send(self.tuple, HELLO);
        }
        !std::mem::replace(&mut self.met, true)
    }

    /// Says hello, if it is time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, send: impl FnOnce(Tuple, &[u8])) {
        if self.hello_at.is_some_and(|at| at <= now) {
            self.hello_at = Some(now + HELLO_INTERVAL);
            send(self.tuple, HELLO);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.hello_at
    }

    /// The last word.
    pub(crate) fn say_goodbye(&self, send: impl FnOnce(Tuple, &[u8])) {
        send(self.tuple, GOODBYE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_has_its_kind() {
        assert_eq!(sort(HELLO), Ok(Record::Hello));
        assert_eq!(sort(GOODBYE), Ok(Record::Goodbye));
        assert_eq!(sort(&[0x80; 12]), Ok(Record::Rtp));
        assert_eq!(sort(&[0x80, 200, 0, 1, 0, 0, 0, 1]), Ok(Record::Rtcp));
        // Port 5000, as RFC 8841 has it.
        assert_eq!(sort(&[0x13, 0x88, 0x13, 0x88]), Ok(Record::Sctp));
        for len in 1..12 {
            assert_eq!(sort(&vec![0x80; len]), Err(DropReason::NotStunDtlsRtp), "{len}");
        }
        for first in 0..=255 {
            let _ = sort(&[first]);
            let _ = sort(&[first, 0]);
        }
    }

    #[test]
    fn a_client_says_hello_until_it_is_answered() {
        let now = Instant::now();
        let path = LocalPath { ring: 3, route: 8 };
        let mut client = Local::new(path, Role::Client, now);
        for at in 0..3 {
            let due = client.poll_timeout().unwrap();
            assert_eq!(due, now + at * HELLO_INTERVAL);
            let mut said = None;
            client.handle_timeout(due, |tuple, data| said = Some((tuple, data.to_vec())));
            assert_eq!(said, Some((Tuple::local(path), HELLO.to_vec())));
        }
        assert!(client.on_hello(|_, _| panic!("it asked")));
        assert!(!client.on_hello(|_, _| panic!("it asked")));
        assert_eq!(client.poll_timeout(), None);
    }

    #[test]
    fn a_server_answers_each_hello_and_asks_for_none() {
        let mut server = Local::new(LocalPath { ring: 3, route: 8 }, Role::Server, Instant::now());
        assert_eq!(server.poll_timeout(), None);
        let mut answers = 0;
        assert!(server.on_hello(|_, data| answers += usize::from(data == HELLO)));
        assert!(!server.on_hello(|_, data| answers += usize::from(data == HELLO)));
        assert_eq!(answers, 2);
    }
}
