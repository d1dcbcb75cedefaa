//! A synthetic publisher on the engine's clock: packets with valid codec headers and a stamp.
//!
//! Contract: call `handle_timeout` at `poll_timeout`, then drain `poll_packet`.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::Stamp;

/// Opus packets of 20 ms (RFC 7587 section 4.2: 48 kHz RTP clock).
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_TICKS: u32 = 960;
/// CELT, full band, 20 ms, mono, one frame (RFC 6716 section 3.1: config 31, s 0, c 0).
const OPUS_TOC: u8 = 31 << 3;
/// RTP clock of video in hertz (RFC 7741 section 4.1).
const VIDEO_CLOCK_HZ: u64 = 90_000;
/// Payload bytes per video packet; with RTP header, extensions and tag still below 1200.
const MAX_VIDEO_PAYLOAD: usize = 1120;
/// Descriptor: X bit byte, extension byte, 15-bit picture id, TL0PICIDX, TID (RFC 7741 section 4.2).
const VP8_DESCRIPTOR_LEN: usize = 6;
/// Frame tag, start code and size of a keyframe (RFC 6386 section 9.1).
const VP8_KEYFRAME_HEADER_LEN: usize = 10;
/// A keyframe is about this many times an ordinary frame.
const KEYFRAME_FACTOR: usize = 4;
/// Media that fell due while the caller slept is made up only this far back.
const MAX_CATCH_UP: Duration = Duration::from_millis(200);

/// What a generator makes.
#[derive(Clone, Debug, PartialEq)]
pub enum GeneratorSpec {
    /// One layer of Opus-like packets, 50 per second.
    Audio(AudioSpec),
    /// VP8, one or more simulcast layers.
    Video(VideoSpec),
}

/// Audio made by a generator.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioSpec {
    /// Bytes of each payload, at least [`Stamp::LEN`] + 1.
    pub payload_len: u16,
    /// Level in -dBov (RFC 6464): 0 loudest, 127 silence.
    pub level: u8,
}

/// Video made by a generator.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoSpec {
    /// Lowest quality first, as in `AddTrack`.
    pub layers: Vec<VideoLayerSpec>,
    /// A keyframe comes at least this often.
    pub keyframe_interval: Duration,
}

/// One simulcast layer of a [`VideoSpec`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoLayerSpec {
    /// Payload bits per second, keyframes apart.
    pub bitrate_bps: u32,
    /// Frames per second, 1 to 120.
    pub fps: u8,
    /// Picture height; the width is 16:9.
    pub height_px: u16,
}

/// One packet to be sent; the RTP header is the caller's.
#[derive(Debug)]
pub struct GeneratedPacket<'a> {
    /// Index into the layers.
    pub layer: u8,
    /// RTP timestamp of its frame.
    pub timestamp: u32,
    /// Last packet of a picture; for audio the first of a talk spurt.
    pub marker: bool,
    /// Audio level to put into the header extension.
    pub level: Option<u8>,
    /// Dependency descriptor to put into the header extension.
    pub descriptor: Option<&'a [u8]>,
    /// Codec payload, stamped.
    pub payload: &'a [u8],
}

/// Makes the packets of one track.
#[derive(Debug)]
pub struct Generator {
    epoch: Instant,
    layers: Vec<Layer>,
    /// Filler, shared by all packets; the codec header and stamp are written over it.
    scratch: Vec<u8>,
    kind: Kind,
    now: Instant,
}

#[derive(Debug)]
enum Kind {
    Audio { payload_len: usize, level: u8 },
    Video { keyframe_interval: Duration },
}

#[derive(Debug)]
struct Layer {
    interval: Duration,
    ticks: u32,
    frame_len: usize,
    height_px: u16,
    next_frame: Instant,
    next_keyframe: Instant,
    timestamp: u32,
    picture_id: u16,
    frames: u64,
    counter: u64,
    /// Packets of the current frame still to be made, of how many, and whether it is a keyframe.
    left: usize,
    parts: usize,
    keyframe: bool,
}

impl Generator {
    /// A generator that begins at a random phase after `now`, so that many do not march in step.
    ///
    /// Video without layers, or with a rate of 0, makes no packets. `epoch` is common to the plane.
    #[must_use]
    pub fn new(spec: &GeneratorSpec, epoch: Instant, seed: u64, now: Instant) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (kind, layers) = match spec {
            GeneratorSpec::Audio(audio) => {
                let payload_len = usize::from(audio.payload_len).max(Stamp::LEN + 1);
                let kind = Kind::Audio { payload_len, level: audio.level };
                (kind, vec![Layer::new(AUDIO_INTERVAL, AUDIO_TICKS, payload_len, 0, now, &mut rng)])
            }
            GeneratorSpec::Video(video) => {
                let layers = video.layers.iter().map(|layer| Layer::video(layer, now, &mut rng));
                (Kind::Video { keyframe_interval: video.keyframe_interval }, layers.collect())
            }
        };
        let mut scratch = match kind {
            Kind::Audio { payload_len, .. } => vec![0; payload_len],
            Kind::Video { .. } => vec![0; MAX_VIDEO_PAYLOAD],
        };
        rng.fill_bytes(&mut scratch);
        Self { epoch, layers, scratch, kind, now }
    }

    /// When the next frame is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.layers.iter().map(|layer| layer.next_frame).min()
    }

    /// The next frame of this layer will be a keyframe, and comes at its ordinary time.
    pub fn request_keyframe(&mut self, layer: u8) {
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.next_keyframe = layer.next_frame;
        }
    }

    /// Notes the time; what is due now comes out of `poll_packet`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for layer in &mut self.layers {
            while now.saturating_duration_since(layer.next_frame) > MAX_CATCH_UP {
                layer.skip_frame();
            }
        }
    }

    /// The next packet that is due, in order of its layer. Drain it after `handle_timeout`.
    pub fn poll_packet(&mut self) -> Option<GeneratedPacket<'_>> {
        let now = self.now;
        let (index, layer) = self
            .layers
            .iter_mut()
            .enumerate()
            .find(|(_, layer)| layer.left > 0 || layer.next_frame <= now)?;
        if layer.left == 0 {
            match self.kind {
                Kind::Audio { .. } => layer.begin_frame(1, false),
                Kind::Video { keyframe_interval } => layer.begin_picture(keyframe_interval),
            }
        }
        let first = layer.left == layer.parts;
        layer.left -= 1;
        let last = layer.left == 0;
        let (payload, marker, level) = match self.kind {
            Kind::Audio { payload_len, level } => {
                self.scratch[0] = OPUS_TOC;
                (&mut self.scratch[..payload_len], layer.counter == 0, Some(level))
            }
            Kind::Video { .. } => {
                let header = if first && layer.keyframe { VP8_KEYFRAME_HEADER_LEN } else { 3 };
                let len = (layer.frame_bytes() / layer.parts + VP8_DESCRIPTOR_LEN)
                    .clamp(VP8_DESCRIPTOR_LEN + header + Stamp::LEN, MAX_VIDEO_PAYLOAD);
                layer.write_vp8(&mut self.scratch, first);
                (&mut self.scratch[..len], last, None)
            }
        };
        Stamp::new(self.epoch, now, layer.counter).write(payload);
        layer.counter += 1;
        let timestamp = layer.timestamp;
        Some(GeneratedPacket {
            layer: u8::try_from(index).unwrap_or(u8::MAX),
            timestamp,
            marker,
            level,
            descriptor: None,
            payload,
        })
    }
}

impl Layer {
    fn new(
        interval: Duration,
        ticks: u32,
        frame_len: usize,
        height_px: u16,
        now: Instant,
        rng: &mut SmallRng,
    ) -> Self {
        let phase = interval.mul_f64(rng.random_range(0.0..1.0));
        Self {
            interval,
            ticks,
            frame_len,
            height_px,
            next_frame: now + phase,
            next_keyframe: now,
            timestamp: rng.random(),
            picture_id: rng.random::<u16>() & 0x7fff,
            frames: 0,
            counter: 0,
            left: 0,
            parts: 0,
            keyframe: false,
        }
    }

    fn video(spec: &VideoLayerSpec, now: Instant, rng: &mut SmallRng) -> Self {
        let fps = u32::from(spec.fps.clamp(1, 120));
        let ticks = u32::try_from(VIDEO_CLOCK_HZ).unwrap_or(0) / fps;
        let frame_len = usize::try_from(spec.bitrate_bps / 8 / fps).unwrap_or(0);
        Self::new(Duration::from_secs(1) / fps, ticks, frame_len, spec.height_px, now, rng)
    }

    fn skip_frame(&mut self) {
        self.next_frame += self.interval;
        self.timestamp = self.timestamp.wrapping_add(self.ticks);
    }

    fn begin_frame(&mut self, parts: usize, keyframe: bool) {
        self.parts = parts;
        self.left = parts;
        self.keyframe = keyframe;
        self.frames += 1;
        self.skip_frame();
    }

    fn begin_picture(&mut self, keyframe_interval: Duration) {
        let keyframe = self.next_frame >= self.next_keyframe;
        if keyframe {
            self.next_keyframe = self.next_frame + keyframe_interval.max(self.interval);
        }
        self.keyframe = keyframe;
        self.picture_id = self.picture_id.wrapping_add(1) & 0x7fff;
        let per_packet = MAX_VIDEO_PAYLOAD - VP8_DESCRIPTOR_LEN;
        self.begin_frame(self.frame_bytes().div_ceil(per_packet).max(1), keyframe);
    }

    fn frame_bytes(&self) -> usize {
        if self.keyframe { self.frame_len * KEYFRAME_FACTOR } else { self.frame_len }
    }

    /// Descriptor, and at the start of a frame the beginning of the VP8 payload header.
    fn write_vp8(&self, out: &mut [u8], first: bool) {
        let [id_high, id_low] = self.picture_id.to_be_bytes();
        // X, S at the start of the partition; then I, L, T present; M: 15-bit picture id.
        out[0] = 0x80 | if first { 0x10 } else { 0 };
        out[1] = 0x80 | 0x40 | 0x20;
        out[2] = 0x80 | id_high;
        out[3] = id_low;
        // One temporal layer: every frame is base layer, TL0PICIDX counts all of them.
        out[4] = self.frames.to_le_bytes()[0];
        out[5] = 0;
        if !first {
            return;
        }
        // show_frame, version 0; P is the lowest bit and 0 in a keyframe.
        out[6] = 0x10 | u8::from(!self.keyframe);
        out[7] = 0;
        out[8] = 0;
        if self.keyframe {
            let width = (u32::from(self.height_px) * 16 / 9).to_le_bytes();
            let height = self.height_px.to_le_bytes();
            out[9..12].copy_from_slice(&[0x9d, 0x01, 0x2a]);
            out[12..16].copy_from_slice(&[width[0], width[1], height[0], height[1]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn video(keyframe_interval: Duration) -> GeneratorSpec {
        let layer = |bitrate_bps, fps, height_px| VideoLayerSpec { bitrate_bps, fps, height_px };
        let layers =
            vec![layer(150_000, 15, 180), layer(500_000, 30, 360), layer(2_500_000, 30, 720)];
        GeneratorSpec::Video(VideoSpec { layers, keyframe_interval })
    }

    struct Sent {
        layer: u8,
        timestamp: u32,
        marker: bool,
        payload: Vec<u8>,
    }

    fn run(generator: &mut Generator, from: Instant, length: Duration) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(at) = generator.poll_timeout().filter(|at| *at < from + length) {
            generator.handle_timeout(at);
            while let Some(packet) = generator.poll_packet() {
                let GeneratedPacket { layer, timestamp, marker, payload, .. } = packet;
                sent.push(Sent { layer, timestamp, marker, payload: payload.to_vec() });
            }
        }
        sent
    }

    fn is_keyframe(sent: &Sent) -> bool {
        sent.payload[0] & 0x10 != 0 && sent.payload[6] & 1 == 0
    }

    #[test]
    fn audio_is_fifty_stamped_packets_a_second() {
        let start = Instant::now();
        let spec = GeneratorSpec::Audio(AudioSpec { payload_len: 80, level: 30 });
        let sent = run(&mut Generator::new(&spec, start, 1, start), start, SECOND);
        assert_eq!(sent.len(), 50);
        for (index, packet) in sent.iter().enumerate() {
            assert_eq!(packet.payload.len(), 80);
            assert_eq!(Stamp::read(&packet.payload).unwrap().counter, index as u64);
        }
        assert_eq!(sent[1].timestamp.wrapping_sub(sent[0].timestamp), 960);
        assert!(sent[0].marker && !sent[1].marker);
    }

    #[test]
    fn video_layers_keep_their_rate_and_begin_with_a_keyframe() {
        let start = Instant::now();
        let sent =
            run(&mut Generator::new(&video(SECOND * 60), start, 2, start), start, SECOND * 10);
        for (layer, rate, fps) in [(0, 150_000, 15), (1, 500_000, 30), (2, 2_500_000, 30)] {
            let mine: Vec<_> = sent.iter().filter(|sent| sent.layer == layer).collect();
            assert!(is_keyframe(mine[0]));
            assert_eq!(mine.iter().filter(|sent| is_keyframe(sent)).count(), 1);
            assert_eq!(mine.iter().filter(|sent| sent.marker).count(), fps * 10);
            let bits: usize = mine.iter().map(|sent| sent.payload.len() * 8).sum();
            assert!((rate * 10..rate * 11).contains(&bits), "layer {layer}: {bits}");
        }
    }

    #[test]
    fn keyframe_comes_on_request_for_one_layer_and_on_the_interval_for_all() {
        let start = Instant::now();
        let mut generator = Generator::new(&video(SECOND * 2), start, 3, start);
        let keyframes = |sent: &[Sent], layer| {
            sent.iter().filter(|s| s.layer == layer && is_keyframe(s)).count()
        };
        let first = run(&mut generator, start, SECOND);
        generator.request_keyframe(1);
        let second = run(&mut generator, start + SECOND, SECOND / 2);
        assert_eq!([keyframes(&first, 0), keyframes(&first, 1)], [1, 1]);
        assert_eq!([keyframes(&second, 0), keyframes(&second, 1)], [0, 1]);
        let third = run(&mut generator, start + SECOND * 3 / 2, SECOND);
        assert_eq!(keyframes(&third, 0), 1);
    }

    #[test]
    fn packets_of_one_picture_are_of_equal_size_and_the_last_has_the_marker() {
        let start = Instant::now();
        let sent = run(&mut Generator::new(&video(SECOND), start, 4, start), start, SECOND / 4);
        let picture: Vec<_> = sent
            .iter()
            .filter(|s| s.layer == 2 && s.timestamp == sent.last().unwrap().timestamp)
            .collect();
        assert!(picture.windows(2).all(|pair| pair[0].payload.len() == pair[1].payload.len()));
        for packet in sent.iter().filter(|s| s.layer == 2) {
            assert!(packet.payload.len() <= MAX_VIDEO_PAYLOAD);
        }
    }

    #[test]
    fn a_stalled_caller_gets_a_bounded_burst() {
        let start = Instant::now();
        let spec = GeneratorSpec::Audio(AudioSpec { payload_len: 80, level: 30 });
        let mut generator = Generator::new(&spec, start, 1, start);
        generator.handle_timeout(start + SECOND * 60);
        let mut burst = 0;
        while generator.poll_packet().is_some() {
            burst += 1;
        }
        assert!((10..=11).contains(&burst), "{burst}");
    }

    #[test]
    fn video_without_layers_makes_nothing() {
        let start = Instant::now();
        let spec =
            GeneratorSpec::Video(VideoSpec { layers: Vec::new(), keyframe_interval: SECOND });
        let mut generator = Generator::new(&spec, start, 1, start);
        generator.handle_timeout(start + SECOND);
        assert!(generator.poll_timeout().is_none() && generator.poll_packet().is_none());
    }
}
