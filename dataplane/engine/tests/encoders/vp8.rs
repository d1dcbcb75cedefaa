use super::{Sent, Stream};

/// VP8 with temporal layers. Pictures have two packets.
#[derive(Debug, Clone)]
pub struct Vp8 {
    pub stream: Stream,
    pub picture: u16,
    tl0: u8,
}

impl Vp8 {
    pub fn new(index: u8) -> Self {
        Self { stream: Stream::new(index), picture: 100, tl0: 0 }
    }

    pub fn picture(&mut self, key: bool, temporal: u8, sync: bool) -> Vec<Sent> {
        self.picture = (self.picture + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        let [high, low] = self.picture.to_be_bytes();
        let layer = temporal << 6 | u8::from(sync) << 5;
        let head = |first: u8| vec![first, 0xe0, high | 0x80, low, self.tl0, layer];
        let first = [head(0x90), vec![u8::from(!key), 0, 0, 0x9d]].concat();
        let second = [head(0x80), vec![9, 9]].concat();
        self.stream.frame(vec![first, second], true)
    }

    /// Pattern 0 2 1 2, with sync where libwebrtc has it.
    pub fn pattern(&mut self, key: bool) -> Vec<Vec<Sent>> {
        vec![
            self.picture(key, 0, false),
            self.picture(false, 2, true),
            self.picture(false, 1, true),
            self.picture(false, 2, false),
        ]
    }
}
