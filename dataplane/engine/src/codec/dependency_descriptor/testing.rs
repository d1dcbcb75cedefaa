//! Descriptors for tests.

use crate::encoders::BitWriter;

/// Two temporal layers: templates key, T0, T1; two decode targets; one chain.
pub(crate) fn key_l1t2(template_offset: u32, frame: u32) -> Vec<u8> {
    let mut writer = BitWriter::default();
    writer.put(0b11, 2).put(template_offset, 6).put(frame, 16);
    writer.put(0b10000, 5).put(template_offset, 6).put(1, 5);
    writer.put(0, 2).put(1, 2).put(3, 2);
    // Indications: key = switch, switch; T0 = required, switch; T1 = not present, discardable.
    for indication in [2, 2, 3, 2, 0, 1] {
        writer.put(indication, 2);
    }
    writer.put(0, 1); // key: no reference
    writer.put(1, 1).put(1, 4).put(0, 1); // T0: 2 back
    writer.put(1, 1).put(0, 4).put(0, 1); // T1: 1 back
    writer.put(0b10, 2); // chain_cnt = 1 as ns(3)
    for distance in [0, 2, 1] {
        writer.put(distance, 4);
    }
    writer.put(1, 1).put(1279, 16).put(719, 16);
    writer.bytes()
}

pub(crate) fn delta(template: u8, frame: u16) -> [u8; 3] {
    let [high, low] = frame.to_be_bytes();
    [0xc0 | template, high, low]
}
