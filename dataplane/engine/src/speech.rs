//! When somebody speaks and when he stops, to the packet: for the time between a question and its answer.
//!
//! Active speakers ([`crate::speakers`]) are for eyes, smoothed and told 2.5 times a second. This is for clocks: an
//! edge is told with the time of its packet, however late it is found.

use std::time::{Duration, Instant};

/// Loud means at most so many dB below full scale; as in [`crate::audio_level`].
const LOUD_DBOV: u8 = 35;
/// So many loud packets in a row are a beginning; one alone is a click.
const START_PACKETS: u8 = 2;
/// Silence that ends speech. Longer than pauses within words, shorter than those between sentences; also
/// the bound on how often edges are told.
const HANGOVER: Duration = Duration::from_millis(300);

/// An edge, with the arrival of the packet that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The first loud packet.
    Started(Instant),
    /// The last loud packet.
    Ended(Instant),
}

/// Observes one track.
#[derive(Debug, Default)]
pub struct Speech {
    speaking: bool,
    first_loud: Option<Instant>,
    last_loud: Option<Instant>,
    run: u8,
}

impl Speech {
    /// A packet came, of this loudness: 0 loud to 127 silent.
    pub fn on_packet(&mut self, dbov: u8, now: Instant) -> Option<Edge> {
        if dbov > LOUD_DBOV {
            if !self.speaking {
                self.run = 0;
            }
            return self.poll(now);
        }
        if self.speaking {
            // A gap without any packet that nobody has looked at yet.
            if let Some(ended) = self.poll(now) {
                self.begin(now);
                return Some(ended);
            }
            self.last_loud = Some(now);
            return None;
        }
        if self.run == 0 {
            self.begin(now);
            return None;
        }
        self.run += 1;
        self.last_loud = Some(now);
        if self.run < START_PACKETS {
            return None;
        }
        self.speaking = true;
        self.first_loud.map(Edge::Started)
    }

    /// Time passed; publishers may send nothing at all in silence (DTX).
    pub fn poll(&mut self, now: Instant) -> Option<Edge> {
        let last = self.last_loud.filter(|_| self.speaking)?;
        if now.saturating_duration_since(last) < HANGOVER {
            return None;
        }
        self.finish()
    }

    /// The track is gone or muted: nothing more will be heard.
    pub fn finish(&mut self) -> Option<Edge> {
        let last = self.last_loud.filter(|_| self.speaking)?;
        *self = Self::default();
        Some(Edge::Ended(last))
    }

    fn begin(&mut self, now: Instant) {
        (self.first_loud, self.last_loud, self.run) = (Some(now), Some(now), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);
    const LOUD: u8 = 20;
    const QUIET: u8 = 90;

    /// Feeds packets of 20 ms; the edges in milliseconds from the start.
    fn edges(levels: &[u8]) -> Vec<(bool, u128)> {
        let start = Instant::now();
        let mut speech = Speech::default();
        let mut now = start;
        let mut found = Vec::new();
        for &level in levels {
            found.extend(speech.on_packet(level, now));
            now += PACKET;
        }
        found.extend(speech.poll(now + HANGOVER));
        found
            .into_iter()
            .map(|edge| match edge {
                Edge::Started(at) => (true, (at - start).as_millis()),
                Edge::Ended(at) => (false, (at - start).as_millis()),
            })
            .collect()
    }

    #[test]
    fn edges_are_those_of_the_packets() {
        let levels: Vec<u8> = [vec![QUIET; 5], vec![LOUD; 10], vec![QUIET; 30]].concat();
        assert_eq!(edges(&levels), [(true, 100), (false, 280)]);
    }

    #[test]
    fn a_click_is_no_speech_and_a_pause_no_end() {
        let levels: Vec<u8> =
            [vec![LOUD], vec![QUIET; 30], vec![LOUD; 5], vec![QUIET; 10], vec![LOUD; 5]].concat();
        assert_eq!(edges(&levels), [(true, 620), (false, 1000)]);
    }

    #[test]
    fn silence_without_packets_ends_it() {
        let start = Instant::now();
        let mut speech = Speech::default();
        assert_eq!(speech.on_packet(LOUD, start), None);
        assert_eq!(speech.on_packet(LOUD, start + PACKET), Some(Edge::Started(start)));
        let later = start + Duration::from_secs(2);
        assert_eq!(speech.on_packet(LOUD, later), Some(Edge::Ended(start + PACKET)));
        assert_eq!(speech.on_packet(LOUD, later + PACKET), Some(Edge::Started(later)));
        assert_eq!(speech.finish(), Some(Edge::Ended(later + PACKET)));
        assert_eq!(speech.finish(), None);
    }
}
