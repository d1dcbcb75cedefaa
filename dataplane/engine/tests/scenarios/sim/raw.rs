//! A client without an engine: it can send what an engine never would, with valid credentials.

use std::net::SocketAddr;
use std::time::Duration;

use airside_dtls::{Dtls, DtlsEvent, Identity, Role as DtlsRole};
use airside_engine::command::{AddTransport, Command, Role, SetRemote};
use airside_engine::ids::TransportId;
use airside_engine::rtp::{HeaderFields, RtpView, write_header};
use airside_engine::srtp::{SrtpReceiver, SrtpSender};
use airside_engine::stun::{BindingRequest, IceRole, MAX_MESSAGE_LEN, write_binding_request};

use super::network::Flight;
use super::{EXTENSIONS, Peer, ROOM, Sim, client_credentials, credentials};

/// Header and bytes of a decrypted RTP packet.
pub type Media = (RtpView, Vec<u8>);

pub struct RawClient {
    /// Its node is that of nobody.
    pub peer: Peer,
    pub address: SocketAddr,
    pub identity: Identity,
    pub dtls: Option<Dtls>,
    pub out: Option<SrtpSender>,
    pub inward: Option<SrtpReceiver>,
}

impl RawClient {
    /// A transport on worker 0 of the server, and nothing sent yet.
    pub fn new(sim: &mut Sim) -> Self {
        let transport = TransportId(sim.new_id());
        let peer = Peer { node: usize::MAX, worker: 0, transport };
        let local = credentials(peer, "a");
        let role = Role::Server;
        let spec = AddTransport { transport, room: ROOM, role, local, socket: 0, local_path: None };
        sim.command(0, Command::AddTransport(spec));
        let address = SocketAddr::from(([10, 9, 9, 9], transport.0 as u16));
        let identity = Identity::generate().unwrap();
        Self { peer, address, identity, dtls: None, out: None, inward: None }
    }

    /// What signaling tells the server about it.
    pub fn remote(&self) -> SetRemote {
        let ice = client_credentials(self.peer, "a");
        let fingerprint = self.identity.fingerprint_sha256();
        let transport = self.peer.transport;
        SetRemote { data: true, ..SetRemote::of_media(transport, ice, &fingerprint, &EXTENSIONS) }
    }

    /// Sends a datagram from its own address, past all conditions of the network.
    pub fn send(&self, sim: &mut Sim, data: &[u8]) {
        self.send_from(sim, self.address, data);
    }

    pub fn send_from(&self, sim: &mut Sim, from: SocketAddr, data: &[u8]) {
        let to = sim.nodes[0].address;
        sim.deliver(Flight { from, to, data: data.to_vec() }, 0);
    }

    /// What has come for it, oldest first.
    pub fn receive(&self, sim: &mut Sim) -> Vec<Vec<u8>> {
        sim.run_ms(30);
        self.arrived(sim)
    }

    /// The same without letting time pass.
    fn arrived(&self, sim: &mut Sim) -> Vec<Vec<u8>> {
        let (mine, others) =
            std::mem::take(&mut sim.strays).into_iter().partition(|stray| stray.to == self.address);
        sim.strays = others;
        let mine: Vec<Flight> = mine;
        mine.into_iter().map(|flight| flight.data).collect()
    }

    /// A check with the right credentials.
    pub fn check(&self, adjust: impl FnOnce(&mut BindingRequest<'_>)) -> Vec<u8> {
        let server = credentials(self.peer, "a");
        let username = format!("{}:{}", server.ufrag, client_credentials(self.peer, "a").ufrag);
        let mut request = BindingRequest {
            transaction_id: [9; 12],
            username: &username,
            priority: 1000,
            role: IceRole::Controlling(1),
            use_candidate: true,
            nomination: None,
        };
        adjust(&mut request);
        sign(&request, &server.password)
    }

    /// Runs the DTLS handshake until keys are there, or nothing more comes.
    pub fn shake_hands(&mut self, sim: &mut Sim) {
        self.shake_hands_as(sim, DtlsRole::Client);
    }

    /// The same from either side.
    pub fn shake_hands_as(&mut self, sim: &mut Sim, role: DtlsRole) {
        let mut dtls = Dtls::new(&self.identity, role, sim.now).unwrap();
        for _ in 0..20 {
            while let Some(datagram) = dtls.poll_transmit() {
                self.send(sim, &datagram);
            }
            for datagram in self.receive(sim) {
                if (20..64).contains(&datagram[0]) {
                    let _ = dtls.handle_datagram(&datagram, sim.now);
                }
            }
            dtls.handle_timeout(sim.now);
            while let Some(event) = dtls.poll_event() {
                if let DtlsEvent::Connected { srtp: Some(keys) } = event {
                    let (ours, theirs) = match role {
                        DtlsRole::Client => (keys.client(), keys.server()),
                        DtlsRole::Server => (keys.server(), keys.client()),
                    };
                    self.out = SrtpSender::new(keys.profile(), ours.0, ours.1).ok();
                    self.inward = SrtpReceiver::new(keys.profile(), theirs.0, theirs.1).ok();
                }
            }
        }
        while let Some(datagram) = dtls.poll_transmit() {
            self.send(sim, &datagram);
        }
        self.dtls = Some(dtls);
    }

    /// Checked, verified, with keys.
    pub fn connect(sim: &mut Sim) -> Self {
        let mut client = Self::new(sim);
        let remote = client.remote();
        sim.command(0, Command::SetRemote(remote));
        let check = client.check(|_| {});
        client.send(sim, &check);
        client.shake_hands(sim);
        assert!(client.out.is_some(), "keys");
        client
    }

    /// Encrypts whatever is given as RTP packet.
    pub fn protect(&mut self, index: u64, packet: &[u8], header_len: usize) -> Vec<u8> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + 32, 0);
        let out = self.out.as_mut().unwrap();
        let len = out.protect_rtp(index, &mut buffer, header_len, packet.len()).unwrap();
        buffer.truncate(len);
        buffer
    }

    /// An ordinary encrypted packet.
    pub fn rtp(&mut self, ssrc: u32, payload_type: u8, index: u64, payload: &[u8]) -> Vec<u8> {
        let fields = HeaderFields {
            marker: false,
            payload_type,
            sequence: index as u16,
            timestamp: index as u32 * 960,
            ssrc,
        };
        let mut packet = vec![0; 12];
        let map = airside_engine::rtp::ExtensionMap::new();
        write_header(&mut packet, &fields, &[], &map).unwrap();
        packet.extend(payload);
        self.protect(index, &packet, 12)
    }

    /// Encrypts whatever is given as a compound.
    pub fn rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        let mut buffer = compound.to_vec();
        buffer.resize(compound.len() + 32, 0);
        let out = self.out.as_mut().unwrap();
        let len = out.protect_rtcp(&mut buffer, compound.len()).unwrap();
        buffer.truncate(len);
        buffer
    }

    /// RTP packets that came, decrypted.
    pub fn media(&mut self, sim: &mut Sim) -> Vec<Media> {
        self.media_and_reports(sim).0
    }

    /// RTP packets and RTCP compounds that came, decrypted.
    pub fn media_and_reports(&mut self, sim: &mut Sim) -> (Vec<Media>, Vec<Vec<u8>>) {
        sim.run_ms(30);
        self.hear(sim)
    }

    /// The same without letting time pass.
    pub fn hear(&mut self, sim: &mut Sim) -> (Vec<Media>, Vec<Vec<u8>>) {
        let (mut media, mut reports) = (Vec::new(), Vec::new());
        let datagrams = self.arrived(sim);
        let srtp = self.inward.as_mut().unwrap();
        for mut data in datagrams.into_iter().filter(|data| (128..192).contains(&data[0])) {
            if (192..224).contains(&data[1]) {
                let Ok(len) = srtp.unprotect_rtcp(&mut data) else { continue };
                data.truncate(len);
                reports.push(data);
                continue;
            }
            let Ok(view) = RtpView::parse(&data) else { continue };
            let Ok(opened) = srtp.unprotect_rtp(&mut data, &view) else { continue };
            data.truncate(opened.len);
            media.push((view, data));
        }
        (media, reports)
    }

    /// Lets the server's answers pass unread.
    pub fn idle(&self, sim: &mut Sim, duration: Duration) {
        sim.run(duration);
        sim.strays.retain(|stray| stray.to != self.address);
    }
}

/// A check signed with this password.
pub fn sign(request: &BindingRequest<'_>, password: &str) -> Vec<u8> {
    let mut bytes = vec![0; MAX_MESSAGE_LEN];
    let len = write_binding_request(&mut bytes, request, password.as_bytes()).unwrap();
    bytes.truncate(len);
    bytes
}
