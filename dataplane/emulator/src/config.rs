//! What a link does to its packets, and how that is written in text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Queue of a bottleneck whose size is not given: what it sends in this time.
pub(crate) const DEFAULT_QUEUE: Duration = Duration::from_millis(200);

/// One direction of a link. The default does nothing.
///
/// As text: words like `rate=2000000 queue_ms=300 delay_ms=50 jitter_ms=30 reorder=1 loss=0.05
/// burst=3 down=0 bucket=0`, in any order; a word that is missing keeps its value.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct LinkConfig {
    /// Bits per second of the bottleneck, all bytes that `send` names counted; 0: no bottleneck.
    pub rate_bps: u64,
    /// How long a full queue takes to empty; packets beyond it are dropped at the tail.
    pub queue: Option<Duration>,
    /// Added to every packet.
    pub delay: Duration,
    /// Added at random between 0 and twice this, so that the mean delay is `delay + jitter`.
    pub jitter: Duration,
    /// Jitter may let a packet overtake another; else it only stretches gaps.
    pub reorder: bool,
    /// Share of packets lost at random, 0 to 1.
    pub loss: f64,
    /// Mean length of a run of losses (Gilbert's model); 0 or 1: each on its own.
    pub burst: f64,
    /// Nothing passes.
    pub down: bool,
    /// Bytes of a policer's token bucket: nothing waits for `rate_bps`, what is beyond it and the
    /// bucket is dropped. 0: the bottleneck has a queue instead.
    pub bucket_bytes: u64,
}

/// A word of a link's text that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("link: {word:?} {problem}")]
pub struct ConfigError {
    word: String,
    problem: &'static str,
}

impl LinkConfig {
    /// Changes what the text names, keeps the rest.
    ///
    /// # Errors
    /// The first word that is unknown, no number, or out of range; nothing is changed then.
    pub fn update(&mut self, text: &str) -> Result<(), ConfigError> {
        let mut next = *self;
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            next.set(word).map_err(|problem| ConfigError { word: word.to_owned(), problem })?;
        }
        *self = next;
        Ok(())
    }

    /// The bottleneck's queue in bytes.
    pub(crate) fn queue_bytes(&self) -> u64 {
        let seconds = self.queue.unwrap_or(DEFAULT_QUEUE).as_secs_f64();
        (self.rate_bps as f64 / 8.0 * seconds) as u64
    }

    fn set(&mut self, word: &str) -> Result<(), &'static str> {
        let (key, value) = word.split_once('=').ok_or("is not key=value")?;
        let number: f64 = value.parse().map_err(|_| "has no number")?;
        if !number.is_finite() || number < 0.0 {
            return Err("is negative or no number");
        }
        match key {
            "rate" => self.rate_bps = number as u64,
            "queue_ms" => self.queue = Some(milliseconds(number)?),
            "delay_ms" => self.delay = milliseconds(number)?,
            "jitter_ms" => self.jitter = milliseconds(number)?,
            "reorder" => self.reorder = number != 0.0,
            "loss" if number <= 1.0 => self.loss = number,
            "loss" => return Err("is above 1"),
            "burst" => self.burst = number,
            "down" => self.down = number != 0.0,
            "bucket" => self.bucket_bytes = number as u64,
            _ => return Err("is unknown"),
        }
        Ok(())
    }
}

impl FromStr for LinkConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        config.update(text)?;
        Ok(config)
    }
}

impl fmt::Display for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rate={} queue_ms={} delay_ms={} jitter_ms={} reorder={} loss={} burst={} down={} \
             bucket={}",
            self.rate_bps,
            self.queue.unwrap_or(DEFAULT_QUEUE).as_millis(),
            self.delay.as_millis(),
            self.jitter.as_millis(),
            u8::from(self.reorder),
            self.loss,
            self.burst,
            u8::from(self.down),
            self.bucket_bytes,
        )
    }
}

fn milliseconds(number: f64) -> Result<Duration, &'static str> {
    Duration::try_from_secs_f64(number / 1000.0).map_err(|_| "is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let text = "rate=2000000 queue_ms=300 delay_ms=50 jitter_ms=30 reorder=1 loss=0.05 burst=3 \
                    down=0 bucket=20000";
        assert_eq!(text.parse::<LinkConfig>().unwrap().to_string(), text);
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let mut config: LinkConfig = "rate=1000 loss=0.1".parse().unwrap();
        config.update("loss=0").unwrap();
        assert_eq!((config.rate_bps, config.loss), (1000, 0.0));
    }

    #[test]
    fn bad_words_change_nothing() {
        let mut config: LinkConfig = "rate=1000".parse().unwrap();
        for text in [
            "rate=5 loss=2",
            "rate",
            "rate=x",
            "delay_ms=-1",
            "colour=1",
            "loss=nan",
            "delay_ms=1e300",
        ] {
            assert!(config.update(text).is_err(), "{text}");
            assert_eq!(config.rate_bps, 1000);
        }
    }
}
