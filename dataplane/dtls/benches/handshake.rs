//! Time of one DTLS handshake, and of the server's half, as a storm of joins would cost it.
//! `cargo bench -p airside-dtls`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use airside_dtls::{Dtls, Identity, Role};

const HANDSHAKES: u32 = 1000;

fn main() {
    let server_identity = Identity::generate().unwrap();
    let client_identity = Identity::generate().unwrap();
    let now = Instant::now();
    let (mut in_server, mut longest_call) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..HANDSHAKES {
        let mut client = Dtls::new(&client_identity, Role::Client, now).unwrap();
        let mut server = Dtls::new(&server_identity, Role::Server, now).unwrap();
        while !(client.is_connected() && server.is_connected()) {
            while let Some(datagram) = client.poll_transmit() {
                let start = Instant::now();
                server.handle_datagram(&datagram, now).unwrap();
                in_server += start.elapsed();
                longest_call = longest_call.max(start.elapsed());
            }
            while let Some(datagram) = server.poll_transmit() {
                client.handle_datagram(&datagram, now).unwrap();
            }
        }
    }
    println!(
        "{HANDSHAKES} handshakes: {:?} each, of which server {:?}; longest call of the server {longest_call:?}",
        now.elapsed() / HANDSHAKES,
        in_server / HANDSHAKES,
    );
}
