//! What forwarding promises about time: a loss holds nothing up, nothing is shaken, clocks survive a switch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use airside_engine::codec::Codec;
use airside_engine::command::{AddSlot, Command, MediaKind, SendCodec, Target};
use airside_engine::ids::{SlotId, TapId};
use airside_engine::load::Stamp;
use airside_engine::packet::SourcePacket;

use crate::sim::lane::Lane;
use crate::sim::{Layers, RawClient, Sim, wish};

/// Both paths of the simulation, without jitter.
const PATH: Duration = Duration::from_millis(20);
const MS: Duration = Duration::from_millis(1);
const SENDER_REPORT: u8 = 200;
const NTP_SECOND: f64 = 4_294_967_296.0;

fn age(sim: &Sim, packet: &SourcePacket) -> Duration {
    Stamp::read(&packet.payload).unwrap().age(sim.start, packet.arrival)
}

fn counter(packet: &SourcePacket) -> u64 {
    Stamp::read(&packet.payload).unwrap().counter
}

/// RFC 3550 section 6.4.1, in seconds, after each packet by its number.
fn jitter<'a>(sim: &Sim, packets: impl Iterator<Item = &'a SourcePacket>) -> BTreeMap<u64, f64> {
    let (mut jitter, mut before) = (0.0, None);
    let mut series = BTreeMap::new();
    for packet in packets {
        let transit = age(sim, packet).as_secs_f64();
        let change = (transit - before.replace(transit).unwrap_or(transit)).abs();
        jitter += (change - jitter) / 16.0;
        series.insert(counter(packet), jitter);
    }
    series
}

#[test]
fn promise_01_and_04_a_lost_packet_holds_up_none_of_the_next() {
    let mut sim = Sim::new(40, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    sim.run_ms(1000);
    // Two paths: 5 % of all packets.
    sim.network.conditions.loss = 0.025;
    sim.run(Duration::from_secs(20));

    let packets = sim.received(slot);
    let sent = counter(packets.last().unwrap()) + 1;
    let in_time = packets.iter().filter(|packet| !packet.late).count() as f64 / sent as f64;
    assert!((0.9..0.99).contains(&in_time), "some were lost: {in_time}");
    // What is sent again comes later by the nature of things; everything else is there at once.
    for packet in packets.iter().filter(|packet| !packet.late) {
        assert!(age(&sim, packet) <= PATH + MS, "{} held back", counter(packet));
    }
    let arrivals: Vec<Instant> = packets.iter().map(|packet| packet.arrival).collect();
    let gap = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(gap <= 60 * MS, "{gap:?}");
}

#[test]
fn promise_05_jitter_is_passed_on_and_not_added_to() {
    let mut sim = Sim::new(42, 1);
    let (alice, bob) = (sim.connect(), sim.connect());
    let mut microphone = sim.publish_audio(alice);
    let slot = sim.subscribe(&mut microphone, bob);
    let tap = TapId(1);
    let target = Target::Tap(tap);
    sim.command(0, Command::AddTarget { track: microphone.track, target });
    sim.run_ms(1000);
    let way = Lane::new(sim.nodes[alice.node].address, true, "delay_ms=10 jitter_ms=15", 1);
    sim.network.lanes = vec![way];
    sim.run(Duration::from_secs(20));

    let inward = jitter(&sim, sim.nodes[0].taps[&tap].iter().map(AsRef::as_ref));
    let outward = jitter(&sim, sim.received(slot).iter().map(AsRef::as_ref));
    assert!(inward.values().copied().fold(0.0, f64::max) > 0.005, "there is jitter");
    let mut added: Vec<f64> =
        outward.iter().filter_map(|(number, after)| Some(after - inward.get(number)?)).collect();
    added.sort_by(f64::total_cmp);
    assert!(added.len() > 900);
    let p95 = added[added.len() * 95 / 100];
    assert!(p95 <= 0.001, "{p95}");
}

/// Offset of one stream: its clock as sender reports tell it, less when its packets were made.
#[derive(Default)]
struct Lips {
    /// NTP seconds and RTP timestamp of the newest sender report.
    report: Option<(f64, u32)>,
    offsets: Vec<f64>,
}

#[test]
fn promise_06_sound_and_picture_stay_together_over_layer_switches() {
    let mut sim = Sim::new(43, 1);
    let alice = sim.connect();
    let microphone = sim.publish_audio(alice);
    let camera = sim.publish_video(alice, Layers::Three);
    let mut bob = RawClient::connect(&mut sim);
    let (audio, video) = (9001, 9002);
    let voice = (SlotId(1), MediaKind::Audio, Codec::Opus, 111, audio, microphone.track);
    let face = (SlotId(2), MediaKind::Video, Codec::Vp8, 96, video, camera.track);
    for (slot, kind, codec, payload_type, ssrc, track) in [voice, face] {
        receive(&mut sim, &bob, slot, kind, (codec, payload_type), ssrc);
        sim.command(0, Command::Subscribe { slot, track, wish: wish(720) });
    }
    let mut streams = BTreeMap::from([(audio, Lips::default()), (video, Lips::default())]);
    let mut switches = 0;
    for height_px in [720, 180, 720, 360].repeat(6) {
        sim.command(0, Command::UpdateSubscription { slot: SlotId(2), wish: wish(height_px) });
        for _ in 0..2 {
            // Consent ends without a sign of life.
            let check = bob.check(|_| {});
            bob.send(&mut sim, &check);
            (0..1000 / 30).for_each(|_| watch(&mut sim, &mut bob, &mut streams));
        }
        switches += 1;
    }
    let told = sim.nodes[0].engine.stats(sim.now).total("slots", "switches");
    assert!(told >= switches && switches > 20, "{told}");
    let sound = &streams[&audio].offsets;
    let picture = &streams[&video].offsets;
    assert!(sound.len() > 1000 && picture.len() > 1000, "{} {}", sound.len(), picture.len());
    let spread = |offsets: &[f64]| {
        let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
        offsets.iter().fold((low, high), |(low, high), each| (low.min(*each), high.max(*each)))
    };
    let ((first, last), (low, high)) = (spread(sound), spread(picture));
    let error = (high - first).abs().max((last - low).abs());
    assert!(error < 0.020, "lips are {error} s apart");
}

/// A section of the server towards a client without an engine.
fn receive(
    sim: &mut Sim,
    client: &RawClient,
    slot: SlotId,
    kind: MediaKind,
    (codec, payload_type): (Codec, u8),
    ssrc: u32,
) {
    let clock_rate = codec.clock_rate();
    let codec = SendCodec { payload_type, codec, clock_rate, rtx_payload_type: None, format: 1 };
    sim.command(
        0,
        Command::AddSlot(AddSlot {
            slot,
            transport: client.peer.transport,
            mid: ssrc.to_string(),
            rid: None,
            kind,
            ssrc,
            rtx_ssrc: None,
            codecs: vec![codec],
        }),
    );
}

/// 30 ms: what came, held against the newest sender report of its stream.
fn watch(sim: &mut Sim, bob: &mut RawClient, streams: &mut BTreeMap<u32, Lips>) {
    let (media, reports) = bob.media_and_reports(sim);
    for compound in &reports {
        for packet in packets_of(compound).filter(|packet| packet[1] == SENDER_REPORT) {
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            let ntp = f64::from(word(8)) + f64::from(word(12)) / NTP_SECOND;
            if let Some(lips) = streams.get_mut(&word(4)) {
                let (time, timestamp) = lips.report.unwrap_or((ntp, word(16)));
                assert!(ntp >= time, "reports go on in time");
                assert!(word(16).wrapping_sub(timestamp) < 1 << 31, "and in timestamps");
                lips.report = Some((ntp, word(16)));
            }
        }
    }
    for (view, packet) in &media {
        let Some(stamp) = Stamp::read(packet) else { continue };
        let rate = if view.payload_type == 111 { 48_000.0 } else { 90_000.0 };
        let Some(lips) = streams.get_mut(&view.ssrc) else { continue };
        let Some((ntp, timestamp)) = lips.report else { continue };
        let ticks = view.timestamp.wrapping_sub(timestamp).cast_signed();
        lips.offsets.push(ntp + f64::from(ticks) / rate - stamp.sent_ns as f64 / 1e9);
    }
}

/// Packets of a compound (RFC 3550 section 6.1).
fn packets_of(compound: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        let words = u16::from_be_bytes(rest.get(2..4)?.try_into().unwrap());
        let (packet, after) = rest.split_at_checked((usize::from(words) + 1) * 4)?;
        rest = after;
        Some(packet)
    })
}
