//! A receiver as libwebrtc's, on a path that reorders: it asks for every number that was overtaken,
//! and for those that stay away again each round trip (`nack_requester.cc`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use airside_engine::codec::Codec;
use airside_engine::command::{AddSlot, Command, MediaKind, SendCodec};
use airside_engine::ids::SlotId;
use airside_engine::rtcp;
use airside_engine::rtp::RtpView;

use crate::sim::network::Flight;
use crate::sim::{Layers, RawClient, Sim, wish};

const MS: Duration = Duration::from_millis(1);
const SSRC: u32 = 5000;
const RTX_SSRC: u32 = 5001;
/// What it takes a round trip for.
const RETRY: Duration = Duration::from_millis(100);
const TRIES: u32 = 10;

struct Missing {
    since: Instant,
    asked: Instant,
    tries: u32,
}

struct Receiver {
    client: RawClient,
    newest: Option<u16>,
    missing: BTreeMap<u16, Missing>,
    /// How long packets were missing.
    waits: Vec<Duration>,
}

impl Receiver {
    fn watch(sim: &mut Sim) -> Self {
        let alice = sim.connect();
        let camera = sim.publish_video(alice, Layers::One);
        let client = RawClient::connect(sim);
        let slot = SlotId(sim.new_id());
        let add = AddSlot {
            slot,
            transport: client.peer.transport,
            mid: "0".into(),
            rid: None,
            kind: MediaKind::Video,
            ssrc: SSRC,
            rtx_ssrc: Some(RTX_SSRC),
            codecs: vec![SendCodec {
                payload_type: 96,
                codec: Codec::Vp8,
                clock_rate: 90_000,
                rtx_payload_type: Some(97),
                format: 1,
            }],
        };
        sim.command(0, Command::AddSlot(add));
        let wish = wish(720);
        sim.command(0, Command::Subscribe { slot, track: camera.track, wish });
        Self { client, newest: None, missing: BTreeMap::new(), waits: Vec::new() }
    }

    fn run(&mut self, sim: &mut Sim, time: Duration) {
        let end = sim.now + time;
        while sim.now < end {
            sim.run(5 * MS);
            for stray in std::mem::take(&mut sim.strays) {
                self.take(stray.data, sim.now);
            }
            self.ask(sim);
        }
    }

    fn take(&mut self, mut data: Vec<u8>, now: Instant) {
        let Ok(view) = RtpView::parse(&data) else { return };
        if ![SSRC, RTX_SSRC].contains(&view.ssrc) || (192..224).contains(&data[1]) {
            return;
        }
        let srtp = self.client.inward.as_mut().unwrap();
        if srtp.unprotect_rtp(&mut data, &view).is_err() {
            return;
        }
        let at = view.header_len();
        let number = match view.ssrc {
            SSRC => view.sequence,
            _ => u16::from_be_bytes([data[at], data[at + 1]]),
        };
        if let Some(missing) = self.missing.remove(&number) {
            self.waits.push(now - missing.since);
        }
        let newest = self.newest.unwrap_or(number);
        for skipped in newest + 1..number {
            // Not asked for yet: due at once.
            self.missing.insert(skipped, Missing { since: now, asked: now - RETRY, tries: 0 });
        }
        self.newest = Some(newest.max(number));
    }

    fn ask(&mut self, sim: &mut Sim) {
        let now = sim.now;
        let due = |missing: &Missing| now - missing.asked >= RETRY && missing.tries < TRIES;
        let numbers: Vec<u16> =
            self.missing.iter().filter(|(_, m)| due(m)).map(|(number, _)| *number).collect();
        for number in &numbers {
            let missing = self.missing.get_mut(number).unwrap();
            missing.tries += 1;
            missing.asked = now;
        }
        let mut compound = Vec::new();
        rtcp::write_rr(&mut compound, 1, &[]);
        if rtcp::write_nack(&mut compound, 1, SSRC, &numbers, 200) > 0 {
            let data = self.client.rtcp(&compound);
            let to = sim.nodes[0].address;
            sim.network.send(&Flight { from: self.client.address, to, data }, now);
        }
    }
}

#[test]
fn what_was_only_overtaken_does_not_take_the_place_of_what_was_lost() {
    for seed in 91..95 {
        let mut sim = Sim::new(seed, 1);
        let mut receiver = Receiver::watch(&mut sim);
        receiver.run(&mut sim, 1000 * MS);
        sim.network.narrow_both(
            receiver.client.address,
            "loss=0.05 delay_ms=50",
            "loss=0.05 delay_ms=20 jitter_ms=30 reorder=1",
        );
        receiver.run(&mut sim, 8000 * MS);
        let newest = receiver.missing.values().map(|missing| sim.now - missing.since);
        let mut waits: Vec<Duration> = receiver.waits.iter().copied().chain(newest).collect();
        waits.sort_unstable();
        let lost = waits.iter().filter(|wait| **wait > 60 * MS).count();
        assert!(lost > 50, "{lost} lost");
        let longest = waits[waits.len() - 1];
        assert!(longest < 450 * MS, "seed {seed}: missing for {longest:?}");
    }
}
