//! One participant in one direction: the worst of its tracks, in a word.

use std::time::{Duration, Instant};

/// Where nothing is wrong.
const BEST: f64 = 100.0;
/// News of a class come no closer than this.
const INTERVAL: Duration = Duration::from_secs(5);

/// Quality in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nothing arrives.
    Lost,
    /// Words or pictures are missing.
    Poor,
    /// Noticeable, not disturbing.
    Good,
    /// Nothing to notice.
    Excellent,
}

impl Class {
    /// Of a score of 0 to 100.
    #[must_use]
    pub fn of(score: f64) -> Self {
        match score {
            score if score > 80.0 => Self::Excellent,
            score if score > 40.0 => Self::Good,
            score if score > 20.0 => Self::Poor,
            _ => Self::Lost,
        }
    }

    /// Where it stands in metrics: 0 (lost) to 3 (excellent).
    #[must_use]
    pub fn rank(self) -> u8 {
        self as u8
    }

    /// Name for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Poor => "poor",
            Self::Good => "good",
            Self::Excellent => "excellent",
        }
    }
}

/// Quality of one participant in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// 0 to 100, of its worst track.
    pub score: f64,
    /// The same in a word.
    pub class: Class,
    /// Mean opinion score, 1 to 4.5, as telephony counts it (ITU-T G.107, annex B).
    pub mos: f64,
}

impl Verdict {
    fn of(score: f64) -> Self {
        Self { score, class: Class::of(score), mos: mos(score) }
    }
}

/// Keeps the verdict, and says when it is news.
#[derive(Debug, Default)]
pub struct Quality {
    verdict: Option<Verdict>,
    told: Option<(Class, Instant)>,
}

impl Quality {
    /// The last verdict; `None`: no tracks in this direction.
    #[must_use]
    pub fn get(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Takes in the scores of all tracks, once a window. Gives the verdict if its class is news.
    pub fn update(
        &mut self,
        scores: impl IntoIterator<Item = f64>,
        now: Instant,
    ) -> Option<Verdict> {
        self.verdict = scores.into_iter().reduce(f64::min).map(Verdict::of);
        // Without tracks nothing is wrong any more.
        let verdict = self.verdict.unwrap_or(Verdict::of(BEST));
        let news = match self.told {
            None => verdict.class != Class::Excellent,
            Some((class, at)) => verdict.class != class && now >= at + INTERVAL,
        };
        if !news {
            return None;
        }
        self.told = Some((verdict.class, now));
        Some(verdict)
    }
}

fn mos(score: f64) -> f64 {
    let r = score.clamp(0.0, 100.0);
    1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_belong_to_the_lower_class() {
        let classes = [100.0, 80.1, 80.0, 40.1, 40.0, 20.1, 20.0, 0.0].map(Class::of);
        use Class::{Excellent, Good, Lost, Poor};
        assert_eq!(classes, [Excellent, Excellent, Good, Good, Poor, Poor, Lost, Lost]);
    }

    #[test]
    fn the_opinion_score_goes_from_1_to_4_5() {
        assert_eq!(mos(0.0), 1.0);
        assert!((mos(100.0) - 4.5).abs() < 1e-9);
        assert!((mos(80.0) - 4.024).abs() < 1e-3);
    }

    #[test]
    fn the_worst_track_decides_and_only_changes_are_told() {
        let (mut quality, now) = (Quality::default(), Instant::now());
        assert_eq!(quality.update([100.0, 95.0], now), None, "all begins well");
        let told = quality.update([100.0, 35.0], now + INTERVAL).unwrap();
        assert_eq!((told.class, told.score), (Class::Poor, 35.0));
        assert_eq!(quality.update([100.0, 30.0], now + 2 * INTERVAL), None);
        assert_eq!(quality.update([90.0], now + 2 * INTERVAL).unwrap().class, Class::Excellent);
        assert_eq!(quality.update([50.0], now + 2 * INTERVAL), None, "too soon");
        assert_eq!(quality.update([50.0], now + 3 * INTERVAL).unwrap().class, Class::Good);
        let ended = quality.update([], now + 4 * INTERVAL).unwrap();
        assert_eq!((ended.class, quality.get()), (Class::Excellent, None), "no track, no trouble");
    }
}
