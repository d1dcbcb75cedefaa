//! Every codec parser over random and mutated payloads: no panic, no endless loop, and what is
//! rewritten is readable again. Seeded, so a failure repeats.

use airside_engine::codec::dependency_descriptor::{Frame, Header, MAX_LEN, Rewriter, Structure};
use airside_engine::codec::red_decode::RedDecoder;
use airside_engine::codec::red_encode::RedEncoder;
use airside_engine::codec::{
    Codec, Inspector, Keyframe, PayloadRewriter, opus::Toc, red, vp8, vp9,
};

const ROUNDS: usize = 200_000;

/// Payloads from which mutations start: one or more per codec.
const CORPUS: [&[u8]; 14] = [
    &[0x90, 0xf0, 0x92, 0x34, 7, 0xa9, 0x00, 0x9d, 0x01, 0x2a],
    &[0x90, 0x80, 0x7f, 0x00],
    &[0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a],
    &[0xae, 0x80, 5, 0x00, 9, 0x38, 1, 64, 0, 180, 2, 128, 1, 104, 1, 0x04, 1, 0x82],
    &[0xf8, 3, 0x30, 0x03, 0x04, 0xaa],
    &[0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 1, 0, 3, 0x65, 0x88, 1],
    &[0x7c, 0x87, 0x42, 0xe0],
    &[0x7a, 0, 1, 0, 2, 0, 0, 0, 0x67, 1],
    &[96, 1, 0, 3, 64, 1, 9, 0, 3, 66, 1, 9],
    &[98, 1, 0xa1, 1, 2],
    &[0x28, 2, 0x0a, 0x0b, 0x32, 1],
    &[0x7b, 3, 2, 1],
    &[0xef, 0x0f, 0x00, 2, 111, 8, 9, 7],
    // Dependency descriptor of two temporal layers.
    &[0xc5, 0, 100, 0x80, 0xa0, 0x17, 0xaa, 0xc5, 0x91, 0x20, 0x20, 0x93, 0xfc, 0x16, 0x78],
];

/// SplitMix64: enough randomness for mutations, the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn payload(&mut self) -> Vec<u8> {
        if self.below(4) == 0 {
            let len = self.below(64);
            return (0..len).map(|_| self.next() as u8).collect();
        }
        let mut data = CORPUS[self.below(CORPUS.len())].to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(data.len());
            match self.below(4) {
                0 => data[at] ^= 1 << self.below(8),
                1 => data[at] = self.next() as u8,
                2 => data.insert(at, self.next() as u8),
                _ => data.truncate(at.max(1)),
            }
        }
        data
    }
}

fn fuzz_descriptors(data: &[u8]) {
    if let Ok(descriptor) = vp8::Descriptor::parse(data) {
        assert!(usize::from(descriptor.len) <= data.len());
        let prefix = descriptor.with_numbers(descriptor.numbers(descriptor.picture_id.map(|_| 5)));
        let out = [prefix.bytes(), &data[prefix.replaces()..]].concat();
        let again = vp8::Descriptor::parse(&out).expect("what we write is readable");
        assert_eq!(again.keyframe, descriptor.keyframe);
        assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|_| 5));
    }
    if let Ok(descriptor) = vp9::Descriptor::parse(data) {
        assert!(usize::from(descriptor.len) <= data.len());
        let prefix = descriptor.with_numbers(descriptor.numbers(descriptor.picture_id.map(|_| 5)));
        let out = [prefix.bytes(), &data[prefix.replaces()..]].concat();
        // A longer picture id may push a structure of hundreds of pictures over the limit.
        if descriptor.len < 255 {
            let again = vp9::Descriptor::parse(&out).expect("what we write is readable");
            assert_eq!(again.keyframe(), descriptor.keyframe());
        }
    }
}

fn fuzz_audio(data: &[u8]) {
    assert!(Toc::parse(data).duration.as_millis() <= 120);
    let mut decoder = RedDecoder::new(111);
    decoder.on_plain(70_000, 0);
    for seq in [70_003, 70_002] {
        if let Ok(unwrapped) = decoder.unwrap(seq, 3000, data) {
            let packets = unwrapped.packets();
            assert!(packets.iter().all(|packet| packet.seq > 70_000 && packet.seq <= seq));
            assert!(packets.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        }
    }
    let mut encoder = RedEncoder::default();
    let mut wrapped = Vec::new();
    encoder.push(70_001, 960, data, true);
    if encoder.encode(70_002, 1920, &data[data.len() / 2..], 2, 111, &mut wrapped) {
        let blocks = red::Blocks::parse(&wrapped).expect("what we write is readable");
        assert_eq!(blocks.primary().data, &data[data.len() / 2..]);
        assert_eq!(blocks.redundant().last().map(|block| block.data), Some(data));
    }
    if let Ok(blocks) = red::Blocks::parse(data) {
        let redundant: usize = blocks.redundant().iter().map(|block| block.data.len()).sum();
        assert!(redundant + blocks.primary().data.len() < data.len());
    }
}

fn fuzz_dependency_descriptor(data: &[u8], known: &mut Option<Structure>) {
    let Ok(header) = Header::parse(data) else { return };
    if header.has_structure
        && let Ok(structure) = Structure::parse(data)
    {
        *known = Some(structure);
    }
    if let Some(structure) = known
        && let Ok(frame) = Frame::parse(data, structure)
    {
        for target in 0..=255 {
            assert!(frame.indication(target) as u8 <= 3);
            assert!(structure.protected_by(target).is_none_or(|chain| chain < 32));
        }
    }
}

#[test]
fn parsers_survive_anything() {
    let mut random = Random(1);
    let mut structure = None;
    for _ in 0..ROUNDS {
        let data = random.payload();
        fuzz_descriptors(&data);
        fuzz_audio(&data);
        fuzz_dependency_descriptor(&data, &mut structure);
    }
    assert!(structure.is_some(), "the corpus reaches the structure parser");
}

#[test]
fn inspectors_and_rewriters_survive_anything() {
    for codec in [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1] {
        let mut random = Random(2);
        let mut inspector = Inspector::new(codec);
        let mut payloads = PayloadRewriter::default();
        let mut extensions = Rewriter::default();
        let mut keyframes = 0;
        for _ in 0..ROUNDS / 6 {
            let payload = random.payload();
            let extension = random.payload();
            let with_extension = random.below(2) == 0;
            let newest = random.below(4) != 0;
            let info = inspector.inspect(
                &payload,
                with_extension.then_some(extension.as_slice()),
                random.below(2) == 0,
                newest,
            );
            let prefix = if info.keyframe == Keyframe::Yes && random.below(8) == 0 {
                keyframes += 1;
                if let Some(dependency) = inspector.dependency() {
                    extensions.switch(dependency);
                }
                Some(payloads.switch(&info))
            } else if random.below(8) == 0 {
                payloads.exclude(&info);
                payloads.get(&info)
            } else {
                payloads.map(&info)
            };
            if let Some(prefix) = prefix {
                assert!(prefix.replaces() <= payload.len());
            }
            if let Some(dependency) = inspector.dependency() {
                let targets = (random.below(2) == 0).then(|| random.next() as u32);
                let mut out = [0; MAX_LEN];
                if let Some(len) =
                    extensions.map(dependency, targets).write(dependency, &extension, &mut out)
                {
                    let frame = Frame::parse(&out[..len], &dependency.structure);
                    // A shifted template id means another template here.
                    assert!(frame.is_ok() || out[0] & 0x3f != extension[0] & 0x3f);
                }
            }
        }
        assert!(keyframes > 0 || codec == Codec::Opus, "{codec:?}");
    }
}
