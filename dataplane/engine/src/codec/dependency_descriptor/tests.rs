use super::super::{Codec, Detail, Inspector, Keyframe};
use super::testing::{delta, key_l1t2};
use super::*;
use crate::encoders::BitWriter;

#[test]
fn structure_and_frames() {
    let data = key_l1t2(5, 100);
    let structure = Structure::parse(&data).unwrap();
    assert_eq!((structure.template_count(), structure.decode_targets()), (3, 2));
    assert_eq!(structure.protected_by(1), Some(0));
    assert_eq!(structure.protected_by(2), None);
    let key = Frame::parse(&data, &structure).unwrap();
    assert_eq!(key.active_targets, Some(0b11));
    assert_eq!(key.indication(0), Indication::Switch);
    assert!(key.references.distances().is_empty());
    let upper = Frame::parse(&delta(7, 101), &structure).unwrap();
    assert_eq!(upper.layers, Layers { spatial: 0, temporal: 1 });
    assert_eq!(upper.indication(0), Indication::NotPresent);
    assert_eq!(upper.indication(1), Indication::Discardable);
    assert_eq!((upper.references.distances(), upper.chain_distances()), (&[1][..], &[1][..]));
    assert_eq!(Frame::parse(&delta(8, 101), &structure).err(), Some(Malformed));
    assert_eq!(Frame::parse(&delta(4, 101), &structure).err(), Some(Malformed));
}

#[test]
fn custom_fields_replace_the_templates() {
    let structure = Structure::parse(&key_l1t2(0, 100)).unwrap();
    let mut writer = BitWriter::default();
    writer.put(0b11, 2).put(1, 6).put(102, 16).put(0b01111, 5);
    writer.put(0b01, 2); // active: target 0 only
    writer.put(3, 2).put(0, 2); // indications
    writer.put(2, 2).put(16, 8).put(0, 2); // one reference, 17 back
    writer.put(200, 8); // chain
    let frame = Frame::parse(&writer.bytes(), &structure).unwrap();
    assert_eq!(frame.active_targets, Some(1), "lowest bit is target 0");
    assert_eq!(frame.indication(0), Indication::Required);
    assert_eq!(frame.indication(1), Indication::NotPresent);
    assert_eq!(frame.references.distances(), [17]);
    assert_eq!(frame.chain_distances(), [200]);
    for len in 0..writer.bytes().len() {
        let parsed = Frame::parse(&writer.bytes()[..len], &structure);
        assert_eq!(parsed.is_ok(), len == 3, "{len}");
    }
}

#[test]
fn structure_truncated_at_each_length() {
    let data = key_l1t2(5, 100);
    for len in 0..data.len() {
        assert!(Structure::parse(&data[..len]).is_err(), "{len}");
    }
}

#[test]
fn late_frame_finds_the_structure_before() {
    let mut inspector = Inspector::new(Codec::Av1);
    let mut see = |data: &[u8], newest| inspector.inspect(&[], Some(data), false, newest);
    assert_eq!(see(&key_l1t2(0, 65_534), true).keyframe, Keyframe::Yes);
    let late = delta(2, 65_535);
    assert_eq!(see(&key_l1t2(3, 0), true).keyframe, Keyframe::Yes);
    assert_eq!(see(&late, false).temporal, 1);
    assert_eq!(see(&delta(5, 1), true).temporal, 1);
}

#[test]
fn unresolved_descriptor_gives_no_detail() {
    let mut inspector = Inspector::new(Codec::Av1);
    let info = inspector.inspect(&[0x10, 0x32, 1], Some(&delta(0, 7)), false, true);
    assert_eq!((info.keyframe, info.detail), (Keyframe::No, Detail::None));
}

/// Feeds one source and gives what a subscriber gets.
fn written(
    inspector: &mut Inspector,
    rewriter: &mut Rewriter,
    data: &[u8],
    switch: bool,
    targets: Option<u32>,
) -> Vec<u8> {
    inspector.inspect(&[], Some(data), false, true);
    let dependency = inspector.dependency().unwrap();
    if switch {
        rewriter.switch(dependency);
    }
    let mut out = [0xff; MAX_LEN];
    let len = rewriter.map(dependency, targets).write(dependency, data, &mut out).unwrap();
    let mut again = [0; MAX_LEN];
    assert_eq!(rewriter.get(targets).write(dependency, data, &mut again), Some(len));
    assert_eq!(out[..len], again[..len], "sent again");
    out[..len].to_vec()
}

#[test]
fn frame_numbers_continue_and_template_ids_do_not_overlap_over_a_switch() {
    let mut first = Inspector::new(Codec::Av1);
    let mut second = Inspector::new(Codec::Av1);
    let mut rewriter = Rewriter::default();
    let key = key_l1t2(62, 100);
    let out = written(&mut first, &mut rewriter, &key, true, None);
    assert_eq!(out, key, "the first source keeps its numbers");

    let out = written(&mut second, &mut rewriter, &key_l1t2(9, 7000), true, None);
    assert_eq!(out, key_l1t2(1, 101), "62, 63 and 0 are taken");
    let out = written(&mut second, &mut rewriter, &delta(11, 7005), false, None);
    assert_eq!(out, delta(3, 106), "dropped frames leave their gap");
}

#[test]
fn decode_targets_are_named_on_every_packet() {
    let mut inspector = Inspector::new(Codec::Av1);
    let mut rewriter = Rewriter::default();
    let mut see = |data: &[u8], switch, targets| {
        let out = written(&mut inspector, &mut rewriter, data, switch, targets);
        let mut reader = Inspector::new(Codec::Av1);
        reader.inspect(&[], Some(&key_l1t2(5, 99)), false, true);
        reader.inspect(&[], Some(&out), false, true);
        let read = reader.dependency().unwrap();
        (read.active_targets, read.frame.layers.temporal, read.number as u16, out.len())
    };
    let key = key_l1t2(5, 100);
    assert_eq!(see(&key, true, Some(0b01)), (0b01, 0, 100, key.len()), "beside a structure");
    assert_eq!(see(&delta(6, 102), false, Some(0b01)), (0b01, 0, 102, 4), "where nothing was");
    // Active targets, indications, references and chains of its own.
    let mut writer = BitWriter::default();
    writer.put(0b11, 2).put(6, 6).put(104, 16).put(0b01111, 5);
    writer.put(0b11, 2).put(3, 2).put(2, 2).put(2, 2).put(16, 8).put(0, 2).put(200, 8);
    let own = writer.bytes();
    let (active, _, number, len) = see(&own, false, Some(0b01));
    assert_eq!((active, number, len), (0b01, 104, own.len()), "in place of the publisher's");
}

#[test]
fn own_fields_survive_a_longer_descriptor() {
    let structure = Structure::parse(&key_l1t2(0, 100)).unwrap();
    let mut writer = BitWriter::default();
    writer.put(0b11, 2).put(1, 6).put(102, 16).put(0b00111, 5);
    writer.put(3, 2).put(0, 2).put(2, 2).put(16, 8).put(0, 2).put(200, 8);
    let source = writer.bytes();
    let dependency = Dependency {
        number: 102,
        frame: Frame::parse(&source, &structure).unwrap(),
        active_targets: 0b11,
        structure: Arc::new(structure.clone()),
    };
    let mut out = [0; MAX_LEN];
    let len = Rewriter::default().get(Some(0b01)).write(&dependency, &source, &mut out).unwrap();
    let frame = Frame::parse(&out[..len], &structure).unwrap();
    assert_eq!(frame.active_targets, Some(0b01));
    assert_eq!(frame.references.distances(), [17]);
    assert_eq!(frame.chain_distances(), [200]);
    assert_eq!(
        (frame.indication(0), frame.indication(1)),
        (Indication::Required, Indication::NotPresent)
    );
    for len in (0..source.len()).filter(|len| *len != 3) {
        let cut = Rewriter::default().get(Some(0b01)).write(&dependency, &source[..len], &mut out);
        assert_eq!(cut, None, "bytes that are not what was read: {len}");
    }
}

#[test]
fn decode_targets_know_their_layers() {
    let structure = Structure::parse(&key_l1t2(5, 100)).unwrap();
    assert_eq!(structure.target_layers(0), Some(Layers { spatial: 0, temporal: 0 }));
    assert_eq!(structure.target_layers(1), Some(Layers { spatial: 0, temporal: 1 }));
    assert_eq!(structure.target_layers(2), None);
    assert_eq!(structure.all_targets(), 0b11);
}
