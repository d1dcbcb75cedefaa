//! Wall clock of RTCP and abs-send-time, derived from the engine's monotonic `now`.

use std::time::Instant;

use crate::units::NtpTime;

/// One reading of both clocks; taken once, so that NTP times never step.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// Monotonic time of the reading.
    pub instant: Instant,
    /// Wall time of the reading.
    pub ntp: NtpTime,
}

impl WallClock {
    /// NTP time at `now`; a `now` before the reading counts as the reading.
    #[must_use]
    pub fn at(&self, now: Instant) -> NtpTime {
        self.ntp.plus(now.saturating_duration_since(self.instant))
    }
}
