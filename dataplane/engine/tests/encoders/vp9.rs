use super::{Sent, Stream};

/// VP9 with layers in one stream. Layer frames have two packets.
#[derive(Debug, Clone)]
pub struct Vp9 {
    pub stream: Stream,
    pub picture: u16,
    pub spatial_layers: u8,
    pub key_only: bool,
    pub flexible: bool,
}

impl Vp9 {
    pub fn new(spatial_layers: u8, key_only: bool) -> Self {
        let stream = Stream::new(0);
        Self { stream, picture: 200, spatial_layers, key_only, flexible: false }
    }

    pub fn picture(&mut self, key: bool, temporal: u8, up: bool) -> Vec<Sent> {
        self.layers(key, temporal, up, &[1], |_| true)
    }

    /// One picture of the spatial layers that `has`; in flexible mode it refers to these.
    pub fn layers(
        &mut self,
        key: bool,
        temporal: u8,
        up: bool,
        references: &[u8],
        has: impl Fn(u8) -> bool,
    ) -> Vec<Sent> {
        self.picture = (self.picture + 1) & 0x7fff;
        let [high, low] = self.picture.to_be_bytes();
        let spatials: Vec<u8> = (0..self.spatial_layers).filter(|spatial| has(*spatial)).collect();
        let mut packets = Vec::new();
        for spatial in &spatials {
            let inter_layer = *spatial > 0 && (key || !self.key_only);
            let structure = key && *spatial == 0;
            let head = |begin: bool, end: bool| {
                let mut first = 0xa0 | u8::from(begin) << 3 | u8::from(end) << 2;
                first |= u8::from(!key) << 6 | u8::from(self.flexible) << 4;
                first |= u8::from(structure && begin) << 1;
                let layer =
                    temporal << 5 | u8::from(up) << 4 | spatial << 1 | u8::from(inter_layer);
                let mut head = vec![first, high | 0x80, low, layer];
                if !self.flexible {
                    head.push(0);
                } else if !key {
                    for (at, distance) in references.iter().enumerate() {
                        head.push(distance << 1 | u8::from(at + 1 < references.len()));
                    }
                }
                if structure && begin {
                    head.push((self.spatial_layers - 1) << 5);
                }
                head.push(0x82);
                head
            };
            let last = spatials.last() == Some(spatial);
            let payloads = vec![head(true, false), head(false, true)];
            packets.extend(self.stream.frame(payloads, last));
        }
        packets
    }
}
