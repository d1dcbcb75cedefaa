use std::collections::BTreeMap;

use super::{BitWriter, Sent, Stream};

/// AV1 with layers in one stream, described as libwebrtc does. Frames have two packets.
#[derive(Debug, Clone)]
pub struct Av1 {
    pub stream: Stream,
    pub frame: u16,
    pub spatial_layers: u8,
    temporal_layers: u8,
    key_only: bool,
    /// Frame numbers of the last frame of each chain, and of each layer's last T0 and T1 frame.
    chains: Vec<u16>,
    layers: BTreeMap<(u8, u8), u16>,
    template_offset: u8,
    pub active: Option<u32>,
}

impl Av1 {
    pub fn new(spatial_layers: u8, temporal_layers: u8, key_only: bool) -> Self {
        Self {
            stream: Stream::new(0),
            frame: 500,
            spatial_layers,
            temporal_layers,
            key_only,
            chains: vec![0; spatial_layers.into()],
            layers: BTreeMap::new(),
            template_offset: 0,
            active: None,
        }
    }

    /// A decode target for each pair of layers, the lowest first.
    pub fn targets(&self) -> u8 {
        self.spatial_layers * self.temporal_layers
    }

    fn indication(&self, key: bool, frame: (u8, u8), target: (u8, u8)) -> u32 {
        let needed = frame.0 <= target.0 && frame.1 <= target.1;
        let skipped = self.key_only && !key && frame.0 != target.0;
        match () {
            () if !needed || skipped => 0,
            () if frame.0 == target.0 && frame.1 == 0 => 2,
            () if frame.0 == target.0 && frame.1 == target.1 => 1,
            () if frame.0 == target.0 || key => 2,
            () => 3,
        }
    }

    fn pairs(&self) -> Vec<(u8, u8)> {
        (0..self.spatial_layers)
            .flat_map(|spatial| (0..self.temporal_layers).map(move |temporal| (spatial, temporal)))
            .collect()
    }

    /// One template for each pair of layers; everything else is written into each descriptor.
    fn structure(&self, writer: &mut BitWriter) {
        let pairs = self.pairs();
        writer.put(self.template_offset.into(), 6).put(u32::from(self.targets()) - 1, 5);
        for (at, pair) in pairs.iter().enumerate() {
            let next = match pairs.get(at + 1) {
                None => 3,
                Some(next) if next.0 > pair.0 => 2,
                Some(_) => 1,
            };
            writer.put(next, 2);
        }
        for frame in &pairs {
            for target in &pairs {
                writer.put(self.indication(true, *frame, *target), 2);
            }
        }
        pairs.iter().for_each(|_| {
            writer.put(0, 1);
        });
        // Chains in ns(targets + 1), then the chain of each target in ns(chains).
        put_non_symmetric(writer, self.spatial_layers.into(), u32::from(self.targets()) + 1);
        for (spatial, _) in &pairs {
            put_non_symmetric(writer, (*spatial).into(), self.spatial_layers.into());
        }
        for _ in &pairs {
            (0..self.spatial_layers).for_each(|_| {
                writer.put(0, 4);
            });
        }
        writer.put(0, 1);
    }

    pub fn picture(&mut self, key: bool, temporal: u8) -> Vec<Sent> {
        let mut packets = Vec::new();
        for spatial in 0..self.spatial_layers {
            self.frame += 1;
            let references = self.references(key, spatial, temporal);
            let chains: Vec<u32> = self
                .chains
                .iter()
                .map(|last| if *last == 0 { 0 } else { u32::from(self.frame - last) })
                .collect();
            let descriptor = |packet: usize| {
                let structure = key && spatial == 0 && packet == 0;
                let mut writer = BitWriter::default();
                let pair = spatial * self.temporal_layers + temporal;
                writer.put(u32::from(packet == 0), 1).put(u32::from(packet == 1), 1);
                writer.put(u32::from(self.template_offset + pair) & 0x3f, 6);
                writer.put(self.frame.into(), 16);
                writer.put(structure.into(), 1).put(self.active.is_some().into(), 1).put(7, 3);
                if structure {
                    self.structure(&mut writer);
                }
                if let Some(active) = self.active {
                    writer.put(active, self.targets().into());
                }
                for target in self.pairs() {
                    writer.put(self.indication(key, (spatial, temporal), target), 2);
                }
                for distance in &references {
                    writer.put(2, 2).put(u32::from(*distance) - 1, 8);
                }
                writer.put(0, 2);
                chains.iter().for_each(|distance| {
                    writer.put(*distance, 8);
                });
                writer.bytes()
            };
            let descriptors = [descriptor(0), descriptor(1)];
            let last = spatial + 1 == self.spatial_layers;
            // Aggregation header with one element; a sequence begins with its header.
            let head = if key && spatial == 0 { [0x18, 0x0A, 1] } else { [0x10, 0x32, 1] };
            let mut frame = self.stream.frame(vec![head.to_vec(), vec![0x10, 0x32, 1]], last);
            for (packet, descriptor) in frame.iter_mut().zip(descriptors) {
                packet.descriptor = Some(descriptor);
            }
            packets.extend(frame);
            self.layers.insert((spatial, temporal), self.frame);
            if temporal == 0 {
                for (chain, last) in self.chains.iter_mut().enumerate() {
                    let above = if self.key_only && !key { spatial } else { u8::MAX };
                    if chain as u8 >= spatial && chain as u8 <= above {
                        *last = self.frame;
                    }
                }
            }
        }
        packets
    }

    /// Distances: the layer below in the same picture, and the newest frame of a lower or, for T0,
    /// the same temporal layer.
    fn references(&mut self, key: bool, spatial: u8, temporal: u8) -> Vec<u16> {
        if key && spatial == 0 {
            self.layers.clear();
            self.chains.fill(0);
        }
        let mut references = Vec::new();
        if !key {
            let below = temporal.saturating_sub(u8::from(temporal > 0));
            let last = (0..=below).filter_map(|at| self.layers.get(&(spatial, at))).max();
            references.extend(last.map(|last| self.frame - last));
        }
        if spatial > 0 && (key || !self.key_only) {
            references.push(1);
        }
        references
    }

    /// An encoder made anew, with other template ids.
    pub fn restart(&mut self, template_offset: u8, frame: u16) {
        self.template_offset = template_offset;
        self.frame = frame;
    }
}

fn put_non_symmetric(writer: &mut BitWriter, value: u32, n: u32) {
    let width = n.ilog2() + 1;
    let short = (1 << width) - n;
    if value < short {
        writer.put(value, width - 1);
    } else {
        let value = value + short;
        writer.put(value >> 1, width - 1).put(value & 1, 1);
    }
}
