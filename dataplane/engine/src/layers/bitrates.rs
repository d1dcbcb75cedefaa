//! What each layer of a track costs, measured at ingress in bits on the wire.

use std::time::{Duration, Instant};

use super::Shape;
use crate::layer::{Layer, LayerRates, MAX_SPATIAL, MAX_TEMPORAL};
use crate::units::DataSize;

/// A rate is over so long: more than one frame at the lowest usual rate, and a keyframe's burst is
/// not taken for the rate.
const WINDOW: Duration = Duration::from_secs(1);
/// The same for a screen, which sends in bursts with pauses between. LiveKit, stream trackers.
const SCREEN_WINDOW: Duration = Duration::from_secs(4);
/// A window moves on in so many steps.
const STEPS: usize = 4;

type Sizes = [[DataSize; MAX_TEMPORAL]; MAX_SPATIAL];

/// Measures one track.
#[derive(Debug)]
pub struct LayerBitrates {
    shape: Shape,
    step: Duration,
    /// Newest at `at`.
    steps: [Sizes; STEPS + 1],
    at: usize,
    /// End of the step that is being filled.
    ends: Option<Instant>,
    rates: LayerRates,
}

impl LayerBitrates {
    /// `screen`: it shows a screen rather than a camera.
    #[must_use]
    pub fn new(shape: Shape, screen: bool) -> Self {
        let window = if screen { SCREEN_WINDOW } else { WINDOW };
        Self {
            shape,
            step: window / STEPS as u32,
            steps: [Sizes::default(); STEPS + 1],
            at: 0,
            ends: None,
            rates: LayerRates::default(),
        }
    }

    /// It was learned how the layers stand to each other.
    pub fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
    }

    /// A packet of a layer (see [`Shape::layer`]) came, with its headers down to IP.
    pub fn on_packet(&mut self, layer: Layer, size: DataSize, now: Instant) {
        self.advance(now);
        let spatial = usize::from(layer.spatial).min(MAX_SPATIAL - 1);
        let temporal = usize::from(layer.temporal).min(MAX_TEMPORAL - 1);
        self.steps[self.at][spatial][temporal] += size;
        self.ends.get_or_insert(now + self.step);
    }

    /// What layers cost, over the window that ended last. During the first window it rises.
    pub fn rates(&mut self, now: Instant) -> &LayerRates {
        self.advance(now);
        &self.rates
    }

    /// When the rates change next without packets; None: it stays zero.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ends
    }

    fn advance(&mut self, now: Instant) {
        let Some(mut ends) = self.ends.filter(|ends| now >= *ends) else { return };
        let mut closed = 0;
        while now >= ends && closed <= STEPS {
            self.at = (self.at + 1) % self.steps.len();
            self.steps[self.at] = Sizes::default();
            ends += self.step;
            closed += 1;
        }
        self.rates = self.measure();
        // After a silence longer than the window the steps begin anew with the next packet.
        self.ends = (closed <= STEPS).then_some(ends);
    }

    fn measure(&self) -> LayerRates {
        let mut sizes = Sizes::default();
        for step in self.steps.iter().enumerate().filter(|(at, _)| *at != self.at).map(|(_, s)| s) {
            for (sums, parts) in sizes.iter_mut().flatten().zip(step.iter().flatten()) {
                *sums += *parts;
            }
        }
        let window = self.step * STEPS as u32;
        let mut rates = LayerRates::default();
        let mut below = [DataSize::ZERO; MAX_TEMPORAL];
        for (spatial, row) in sizes.iter().enumerate() {
            let sent = row.iter().any(|size| *size > DataSize::ZERO);
            let mut sum = DataSize::ZERO;
            for (temporal, size) in row.iter().enumerate() {
                sum += *size;
                let needed = match self.shape {
                    Shape::Simulcast => DataSize::ZERO,
                    // Keyframes apart, only the layer itself is forwarded.
                    Shape::Svc { key_only: Some(true) } => DataSize::ZERO,
                    Shape::Svc { .. } => below[temporal],
                };
                if *size > DataSize::ZERO {
                    rates[spatial][temporal] = (sum + needed).per(window);
                }
            }
            if sent {
                let mut sum = DataSize::ZERO;
                for (below, size) in below.iter_mut().zip(row) {
                    sum += *size;
                    *below += sum;
                }
            }
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL_SVC: Shape = Shape::Svc { key_only: Some(false) };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A second of 100 packets of 1250 bytes over the layers: 1 Mbit/s.
    fn feed(bitrates: &mut LayerBitrates, layers: &[Layer], start: Instant) -> Instant {
        for packet in 0..100 {
            let layer = layers[packet % layers.len()];
            let at = start + ms(10 * packet as u64);
            bitrates.on_packet(layer, DataSize::bytes(1250), at);
        }
        start + ms(1000)
    }

    fn kbps(rates: &LayerRates) -> Vec<Vec<u64>> {
        rates.iter().map(|row| row.iter().map(|rate| rate.as_bps() / 1000).collect()).collect()
    }

    #[test]
    fn simulcast_layers_cost_their_own_and_frame_rates_add_up() {
        let start = Instant::now();
        let mut bitrates = LayerBitrates::new(Shape::Simulcast, false);
        let layers = [Layer::new(0, 0), Layer::new(1, 0), Layer::new(1, 1), Layer::new(1, 2)];
        let end = feed(&mut bitrates, &layers, start);
        let rates = kbps(bitrates.rates(end));
        assert_eq!(rates[0], [250, 0, 0, 0]);
        assert_eq!(rates[1], [250, 500, 750, 0]);
        assert_eq!(rates[2], [0, 0, 0, 0]);
    }

    #[test]
    fn layers_of_one_stream_need_those_below() {
        let start = Instant::now();
        let layers = [Layer::new(0, 0), Layer::new(0, 1), Layer::new(1, 0), Layer::new(1, 1)];
        let rows = [
            (FULL_SVC, [500, 1000, 0, 0]),
            (Shape::Svc { key_only: None }, [500, 1000, 0, 0]),
            (Shape::Svc { key_only: Some(true) }, [250, 500, 0, 0]),
        ];
        for (shape, expected) in rows {
            let mut bitrates = LayerBitrates::new(shape, false);
            let end = feed(&mut bitrates, &layers, start);
            let rates = kbps(bitrates.rates(end));
            assert_eq!((&rates[0][..2], &rates[1][..]), (&[250, 500][..], &expected[..]));
        }
    }

    #[test]
    fn rates_follow_within_a_window_and_end_in_silence() {
        let start = Instant::now();
        let mut bitrates = LayerBitrates::new(Shape::Simulcast, false);
        let layer = [Layer::new(0, 0)];
        assert_eq!(bitrates.poll_timeout(), None);
        let end = feed(&mut bitrates, &layer, start);
        assert_eq!(kbps(bitrates.rates(end))[0][0], 1000);
        assert_eq!(kbps(bitrates.rates(end + ms(500)))[0][0], 500);
        assert_eq!(kbps(bitrates.rates(end + ms(1000)))[0][0], 0);
        bitrates.rates(end + ms(60_000));
        assert_eq!(bitrates.poll_timeout(), None);
        let end = feed(&mut bitrates, &layer, end + ms(60_000));
        assert_eq!(kbps(bitrates.rates(end))[0][0], 1000);
    }

    #[test]
    fn keyframe_burst_is_spread_over_the_window() {
        let start = Instant::now();
        let mut bitrates = LayerBitrates::new(Shape::Simulcast, false);
        for _ in 0..100 {
            bitrates.on_packet(Layer::new(2, 0), DataSize::bytes(1250), start);
        }
        assert_eq!(kbps(bitrates.rates(start + ms(250)))[2][0], 1000);
        let mut screen = LayerBitrates::new(Shape::Simulcast, true);
        for _ in 0..100 {
            screen.on_packet(Layer::new(9, 9), DataSize::bytes(1250), start);
        }
        assert_eq!(kbps(screen.rates(start + ms(1000)))[2][3], 250, "the highest told apart");
    }
}
