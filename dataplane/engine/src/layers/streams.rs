//! Which of the published streams a subscription forwards, and which one it waits for.
//!
//! | current | target  | meaning                                                              |
//! |---------|---------|----------------------------------------------------------------------|
//! | equal   | equal   | forward it                                                           |
//! | some    | higher  | forward it; a keyframe of target, or of one between, switches        |
//! | some    | lower   | forward it; a keyframe of target switches                            |
//! | none    | some    | a keyframe of target, or of any below, starts                        |
//! | any     | none    | paused                                                               |
//!
//! A current stream that died counts as none for keyframes of others, but goes on if it comes back.

/// Bits for all streams.
const ALL: u8 = u8::MAX;

#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// Highest stream wanted.
    target: Option<u8>,
    current: Option<u8>,
    /// Bit per stream that has packets.
    live: u8,
}

impl Default for Streams {
    fn default() -> Self {
        Self { target: None, current: None, live: ALL }
    }
}

impl Streams {
    pub(super) fn current(&self) -> Option<u8> {
        self.current
    }

    pub(super) fn set_target(&mut self, target: Option<u8>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    pub(super) fn set_live(&mut self, live: u8) {
        self.live = live;
    }

    pub(super) fn stop(&mut self) {
        self.current = None;
    }

    pub(super) fn switch(&mut self, stream: u8) {
        self.current = Some(stream);
    }

    /// The stream to wait for: the highest live one up to the target.
    fn wanted(&self) -> Option<u8> {
        let below = upto(self.target?) & self.live;
        (below != 0).then(|| 7 - below.leading_zeros() as u8)
    }

    /// Whether a keyframe of this stream is worth a switch.
    pub(super) fn accepts(&self, stream: u8) -> bool {
        let Some(target) = self.target else { return false };
        if stream > target {
            return false;
        }
        match self.current {
            None => true,
            Some(current) if stream == current => false,
            Some(current) if !self.is_live(current) => true,
            Some(current) => stream > current || Some(stream) == self.wanted(),
        }
    }

    /// The stream whose keyframe would help.
    pub(super) fn waits_for(&self) -> Option<u8> {
        self.wanted().filter(|wanted| self.current != Some(*wanted))
    }

    /// Bit per stream whose packets matter now.
    pub(super) fn interest(&self) -> u8 {
        let Some(target) = self.target else { return 0 };
        match self.current {
            Some(current) if self.is_live(current) => {
                let above = upto(target) & !upto(current);
                above | bit(current) | self.wanted().map_or(0, bit)
            }
            current => upto(target) | current.map_or(0, bit),
        }
    }

    fn is_live(&self, stream: u8) -> bool {
        self.live & bit(stream) != 0
    }
}

fn bit(stream: u8) -> u8 {
    1 << stream.min(7)
}

fn upto(stream: u8) -> u8 {
    ALL >> (7 - stream.min(7))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(current: Option<u8>, target: Option<u8>, live: u8) -> Streams {
        Streams { target, current, live }
    }

    #[test]
    fn table_of_states() {
        // current, target, live; accepts 0, 1, 2; waits for; interest
        let rows = [
            (None, None, ALL, [false, false, false], None, 0b000),
            (None, Some(2), ALL, [true, true, true], Some(2), 0b111),
            (None, Some(1), ALL, [true, true, false], Some(1), 0b011),
            (None, Some(2), 0b011, [true, true, true], Some(1), 0b111),
            (None, Some(2), 0b000, [true, true, true], None, 0b111),
            (Some(0), Some(2), ALL, [false, true, true], Some(2), 0b111),
            (Some(1), Some(2), ALL, [false, false, true], Some(2), 0b110),
            (Some(2), Some(2), ALL, [false, false, false], None, 0b100),
            (Some(2), Some(0), ALL, [true, false, false], Some(0), 0b101),
            (Some(2), Some(1), ALL, [false, true, false], Some(1), 0b110),
            (Some(2), Some(1), 0b101, [true, false, false], Some(0), 0b101),
            (Some(2), Some(2), 0b011, [true, true, false], Some(1), 0b111),
            (Some(2), Some(2), 0b000, [true, true, false], None, 0b111),
        ];
        for (current, target, live, accepts, waits, interest) in rows {
            let name = format!("{current:?} {target:?} {live:03b}");
            let streams = streams(current, target, live);
            assert_eq!([0, 1, 2].map(|stream| streams.accepts(stream)), accepts, "{name}");
            assert_eq!(streams.waits_for(), waits, "{name}");
            assert_eq!(streams.interest(), interest, "{name}: {:03b}", streams.interest());
        }
    }

    #[test]
    fn pause_forgets_the_current_stream() {
        let mut streams = streams(Some(1), Some(1), ALL);
        streams.set_target(None);
        assert_eq!(streams.current(), None);
        streams.set_target(Some(1));
        assert_eq!(streams.waits_for(), Some(1));
        streams.switch(1);
        assert_eq!(streams.waits_for(), None);
        streams.stop();
        assert!(streams.accepts(0));
    }
}
