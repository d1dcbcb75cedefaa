//! Past decisions by picture, so that a late packet gets the one that held for its picture and not
//! the one of today (mediasoup PR#1486).

/// Pictures remembered: 4 s at 30 fps, longer than a retransmission is of use.
const PICTURES: usize = 128;

/// Ring of the newest records in the order they came, by timestamp.
#[derive(Clone, Debug)]
pub(super) struct History<R> {
    records: Box<[(u32, R)]>,
    /// Place of the next record.
    next: usize,
    len: usize,
}

impl<R: Copy + Default> Default for History<R> {
    fn default() -> Self {
        Self { records: vec![(0, R::default()); PICTURES].into(), next: 0, len: 0 }
    }
}

impl<R: Copy> History<R> {
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn push(&mut self, timestamp: u32, record: R) {
        self.records[self.next] = (timestamp, record);
        self.next = (self.next + 1) % PICTURES;
        self.len = (self.len + 1).min(PICTURES);
    }

    /// The record of a picture.
    pub(super) fn get(&self, timestamp: u32) -> Option<R> {
        self.find(|at, _| at == timestamp).map(|at| self.records[at].1)
    }

    /// The same, to change it. Most packets are of the newest picture, which is looked at first.
    pub(super) fn get_mut(&mut self, timestamp: u32) -> Option<&mut R> {
        self.find(|at, _| at == timestamp).map(|at| &mut self.records[at].1)
    }

    /// The newest record that fits.
    pub(super) fn newest(&self, fits: impl Fn(u32, &R) -> bool) -> Option<R> {
        self.find(fits).map(|at| self.records[at].1)
    }

    fn find(&self, fits: impl Fn(u32, &R) -> bool) -> Option<usize> {
        (1..=self.len)
            .map(|back| (self.next + PICTURES - back) % PICTURES)
            .find(|at| fits(self.records[*at].0, &self.records[*at].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_pictures_are_remembered() {
        let mut history = History::default();
        assert_eq!(history.get(0), None);
        for picture in 0..200u32 {
            history.push(picture * 3000, picture);
        }
        assert_eq!(history.get(199 * 3000), Some(199));
        assert_eq!(history.get(72 * 3000), Some(72));
        assert_eq!(history.get(71 * 3000), None);
        assert_eq!(history.newest(|timestamp, _| timestamp < 100 * 3000), Some(99));
        *history.get_mut(150 * 3000).unwrap() = 7;
        assert_eq!(history.get(150 * 3000), Some(7));
        history.clear();
        assert_eq!(history.get(199 * 3000), None);
    }
}
