use std::collections::BTreeMap;
use std::time::Instant;

use super::Sent;
use crate::codec::dependency_descriptor::{Dependency, MAX_LEN, Rewriter};
use crate::codec::{Codec, FrameInfo, Inspector, PayloadRewriter};
use crate::layer::Layer;
use crate::layers::{Cause, Decision, Packet, Selector, Shape};
use crate::seq_map::{SeqMap, VIDEO_RANGES};

/// A packet as the subscriber gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::layers) struct Received {
    pub(in crate::layers) stream: u8,
    /// Source number.
    pub(in crate::layers) source: u64,
    pub(in crate::layers) seq: u64,
    pub(in crate::layers) marker: bool,
    pub(in crate::layers) layer: Layer,
    /// Picture id as sent.
    pub(in crate::layers) picture: Option<u16>,
    pub(in crate::layers) payload: Vec<u8>,
    pub(in crate::layers) descriptor: Option<Vec<u8>>,
}

/// One subscription with everything behind its selector.
pub(in crate::layers) struct Subscriber {
    codec: Codec,
    shape: Shape,
    pub(in crate::layers) selector: Selector,
    pub(in crate::layers) map: SeqMap,
    payloads: PayloadRewriter,
    descriptors: Rewriter,
    inspectors: BTreeMap<u8, Inspector>,
    newest: BTreeMap<u8, u64>,
    pub(in crate::layers) start: Instant,
    pub(in crate::layers) received: Vec<Received>,
    pub(in crate::layers) switches: Vec<(u8, bool)>,
    /// Refuse switches, as the timestamps may.
    pub(in crate::layers) refuse: bool,
}

impl Subscriber {
    pub(in crate::layers) fn new(codec: Codec, shape: Shape, target: Layer) -> Self {
        let mut selector = Selector::new(codec, shape);
        let start = Instant::now();
        selector.set_target(Some(target), Cause::Wish, start);
        Self {
            codec,
            shape,
            selector,
            map: SeqMap::new(999, VIDEO_RANGES),
            payloads: PayloadRewriter::default(),
            descriptors: Rewriter::default(),
            inspectors: BTreeMap::new(),
            newest: BTreeMap::new(),
            start,
            received: Vec::new(),
            switches: Vec::new(),
            refuse: false,
        }
    }

    pub(in crate::layers) fn target(&mut self, target: Layer) {
        self.selector.set_target(Some(target), Cause::Wish, self.start);
    }

    pub(in crate::layers) fn see_all<'a>(&mut self, packets: impl IntoIterator<Item = &'a Sent>) {
        packets.into_iter().for_each(|packet| self.see(packet));
    }

    pub(in crate::layers) fn see(&mut self, sent: &Sent) {
        let newest = self.newest.entry(sent.stream).or_insert(0);
        let is_newest = sent.seq > *newest;
        *newest = (*newest).max(sent.seq);
        let codec = self.codec;
        let inspector = self.inspectors.entry(sent.stream).or_insert_with(|| Inspector::new(codec));
        let descriptor = sent.descriptor.as_deref();
        let frame = inspector.inspect(&sent.payload, descriptor, sent.marker, is_newest);
        let dependency = inspector.dependency().cloned();
        let packet = Packet {
            stream: sent.stream,
            seq: sent.seq,
            timestamp: sent.timestamp,
            marker: sent.marker,
            newest: is_newest,
            frame: &frame,
            dependency: dependency.as_ref(),
        };
        self.take(sent, &packet);
    }

    fn take(&mut self, sent: &Sent, packet: &Packet<'_>) {
        let source = sent.stream.into();
        match self.selector.decide(packet) {
            Decision::Ignore => {}
            Decision::LeaveOut { lost } => {
                for seq in sent.seq - u64::from(lost)..=sent.seq {
                    self.map.exclude(source, seq);
                }
                self.payloads.exclude(packet.frame);
            }
            Decision::Forward(forward) => {
                for seq in sent.seq - u64::from(forward.lost)..sent.seq {
                    self.map.exclude(source, seq);
                }
                let Ok(seq) = self.map.map(source, sent.seq) else { return };
                let Some(prefix) = self.payloads.map(packet.frame) else { return };
                let again = self.selector.again(packet).unwrap();
                assert_eq!((again.marker, again.targets), (forward.marker, forward.targets));
                let head = [prefix.bytes(), &sent.payload[prefix.replaces()..]].concat();
                self.receive(
                    sent,
                    packet.frame,
                    packet.dependency,
                    seq,
                    head,
                    forward.targets,
                    forward.marker,
                );
            }
            Decision::Switch(switch) => {
                if self.refuse {
                    return;
                }
                let forward = self.selector.switched(packet);
                let seq = self.map.switch(source, sent.seq, switch.hole);
                let prefix = self.payloads.switch(packet.frame);
                if let Some(dependency) = packet.dependency {
                    self.descriptors.switch(dependency);
                }
                self.switches.push((sent.stream, switch.hole));
                let head = [prefix.bytes(), &sent.payload[prefix.replaces()..]].concat();
                self.receive(
                    sent,
                    packet.frame,
                    packet.dependency,
                    seq,
                    head,
                    forward.targets,
                    forward.marker,
                );
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a test's bookkeeping")]
    fn receive(
        &mut self,
        sent: &Sent,
        frame: &FrameInfo,
        dependency: Option<&Dependency>,
        seq: u64,
        payload: Vec<u8>,
        targets: Option<u32>,
        marker: bool,
    ) {
        let descriptor = dependency.map(|dependency| {
            let mut out = [0; MAX_LEN];
            let source = sent.descriptor.as_deref().unwrap();
            let len = self
                .descriptors
                .map(dependency, targets)
                .write(dependency, source, &mut out)
                .unwrap();
            out[..len].to_vec()
        });
        let picture = match self.codec {
            Codec::Vp8 => Some(u16::from_be_bytes([payload[2], payload[3]]) & 0x7fff),
            Codec::Vp9 => Some(u16::from_be_bytes([payload[1], payload[2]]) & 0x7fff),
            _ => None,
        };
        self.received.push(Received {
            stream: sent.stream,
            source: sent.seq,
            seq,
            marker,
            layer: self.shape.layer(self.codec, sent.stream, frame),
            picture,
            payload,
            descriptor,
        });
    }

    /// Takes what was received since the last call.
    pub(in crate::layers) fn take_received(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.received)
    }

    /// Layers of the frames received since the last call, in order, one for each frame.
    pub(in crate::layers) fn take_layers(&mut self) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        let received = self.take_received();
        for pair in received.chunks(2) {
            layers.push(pair[0].layer);
        }
        layers
    }

    /// Markers received since the last call.
    pub(in crate::layers) fn take_markers(&mut self) -> Vec<bool> {
        self.take_received().into_iter().map(|packet| packet.marker).collect()
    }
}

/// Output numbers without a hole.
pub(in crate::layers) fn assert_contiguous(received: &[Received]) {
    for pair in received.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "{pair:?}");
    }
}
