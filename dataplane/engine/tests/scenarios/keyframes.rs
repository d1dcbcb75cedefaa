//! How a publisher is asked for keyframes.

use airside_engine::codec::Codec;
use airside_engine::command::{
    AddTrack, Command, LayerSpec, MediaKind, ReceiveCodec, Source, Target,
};
use airside_engine::ids::{TapId, TrackId};

use crate::sim::{ROOM, RawClient, Sim};

const SSRC: u32 = 5;
/// Payload-specific feedback (RFC 4585, section 6.3).
const PAYLOAD_FEEDBACK: u8 = 206;
const PLI: u8 = 1;
const FIR: u8 = 4;
/// Header, two SSRCs, and the SSRC that is asked (RFC 5104, section 4.3.1.1).
const FIR_SEQUENCE_AT: usize = 16;

/// Requests that a publisher gets within 300 ms after a hole that nothing repairs: format and number.
fn requests(seed: u64, pli: bool, fir: bool) -> Vec<(u8, u8)> {
    let mut sim = Sim::new(seed, 1);
    let mut publisher = RawClient::connect(&mut sim);
    let track = TrackId(sim.new_id());
    let transport = publisher.peer.transport;
    let codec = ReceiveCodec {
        payload_type: 96,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        rtx_payload_type: None,
        nack: true,
        pli,
        fir,
        format: 1,
    };
    let add = AddTrack {
        track,
        room: ROOM,
        source: Source::Transport { transport, mid: "0".into() },
        kind: MediaKind::Video,
        codecs: vec![codec],
        layers: vec![LayerSpec { ssrc: Some(SSRC), ..LayerSpec::default() }],
        screen: false,
        encrypted: false,
        muted: false,
        cname: String::new(),
    };
    sim.command(0, Command::AddTrack(add));
    sim.command(0, Command::AddTarget { track, target: Target::Tap(TapId(1)) });
    let mut found = Vec::new();
    // Two thousand numbers are too many to ask for.
    for index in [1, 2, 2000] {
        let packet = publisher.rtp(SSRC, 96, index, &[0x10, 0x01, 0, 0]);
        publisher.send(&mut sim, &packet);
    }
    for _ in 0..10 {
        let (_, reports) = publisher.media_and_reports(&mut sim);
        for compound in &reports {
            let mut rest = &compound[..];
            while let [first, kind, high, low, ..] = *rest {
                let len = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
                let (packet, after) = rest.split_at(len.min(rest.len()));
                rest = after;
                match (kind, first & 0x1F) {
                    (PAYLOAD_FEEDBACK, PLI) => found.push((PLI, 0)),
                    (PAYLOAD_FEEDBACK, FIR) => {
                        assert_eq!(packet[12..16], SSRC.to_be_bytes());
                        found.push((FIR, packet[FIR_SEQUENCE_AT]));
                    }
                    _ => {}
                }
            }
        }
    }
    assert_eq!(sim.failures(), Vec::<String>::new());
    found
}

#[test]
fn publisher_that_agreed_to_fir_alone_gets_fir_and_no_more_of_them_than_pli() {
    assert_eq!(requests(71, true, false), [(PLI, 0), (PLI, 0)]);
    assert_eq!(requests(71, true, true), [(PLI, 0), (PLI, 0)]);
    assert_eq!(requests(71, false, true), [(FIR, 1), (FIR, 1)], "a command, and it again");
}
