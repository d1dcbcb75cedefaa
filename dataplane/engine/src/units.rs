//! Units as types: bit rates, sizes, and the two fixed-point clocks of RTCP.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};
use std::time::Duration;

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970). RFC 868.
const NTP_UNIX_OFFSET_S: u64 = 2_208_988_800;
const NANOS_PER_S: u128 = 1_000_000_000;

/// Bits per second. Arithmetic saturates: a rate is never negative and never wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);
    /// No limit.
    pub const MAX: Self = Self(u64::MAX);

    /// From bits per second.
    #[must_use]
    pub const fn bps(bps: u64) -> Self {
        Self(bps)
    }

    /// From thousands of bits per second.
    #[must_use]
    pub const fn kbps(kbps: u64) -> Self {
        Self(kbps.saturating_mul(1_000))
    }

    /// From millions of bits per second.
    #[must_use]
    pub const fn mbps(mbps: u64) -> Self {
        Self(mbps.saturating_mul(1_000_000))
    }

    /// From a computed rate; negative and NaN become zero.
    #[must_use]
    pub fn from_f64_bps(bps: f64) -> Self {
        Self(bps as u64)
    }

    /// Bits per second.
    #[must_use]
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// Bits per second, for averages and factors.
    #[must_use]
    pub fn as_f64_bps(self) -> f64 {
        self.0 as f64
    }
}

impl Add for Bitrate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bitrate {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Bitrate {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Bitrate {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Mul<f64> for Bitrate {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::from_f64_bps(self.as_f64_bps() * factor)
    }
}

impl Mul<Duration> for Bitrate {
    type Output = DataSize;
    fn mul(self, time: Duration) -> DataSize {
        let bytes = u128::from(self.0).saturating_mul(time.as_nanos()) / (8 * NANOS_PER_S);
        DataSize(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

impl Sum for Bitrate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000 => write!(f, "{} bit/s", self.0),
            1_000..1_000_000 => write!(f, "{:.1} kbit/s", self.as_f64_bps() / 1e3),
            _ => write!(f, "{:.2} Mbit/s", self.as_f64_bps() / 1e6),
        }
    }
}

/// A number of bytes. Arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DataSize(u64);

impl DataSize {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// From bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From the length of a buffer.
    #[must_use]
    pub const fn of(len: usize) -> Self {
        Self(len as u64)
    }

    /// Bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Bits.
    #[must_use]
    pub const fn as_bits(self) -> u64 {
        self.0.saturating_mul(8)
    }

    /// The rate at which this much passed in `time`; zero for no time.
    #[must_use]
    pub fn per(self, time: Duration) -> Bitrate {
        match time.as_nanos() {
            0 => Bitrate::ZERO,
            nanos => {
                let bps = u128::from(self.0) * 8 * NANOS_PER_S / nanos;
                Bitrate(u64::try_from(bps).unwrap_or(u64::MAX))
            }
        }
    }
}

impl Add for DataSize {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for DataSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for DataSize {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for DataSize {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// Time to send this much at that rate; [`Duration::MAX`] at rate zero.
impl Div<Bitrate> for DataSize {
    type Output = Duration;
    fn div(self, rate: Bitrate) -> Duration {
        if rate.0 == 0 {
            return Duration::MAX;
        }
        let nanos = u128::from(self.0) * 8 * NANOS_PER_S / u128::from(rate.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Sum for DataSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for DataSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// Wall clock as 32.32 fixed point seconds since 1900 (RFC 3550, section 4).
///
/// Wraps in 2036 like the wire format does; differences are taken modulo 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From time since the Unix epoch.
    #[must_use]
    pub fn from_unix(since_1970: Duration) -> Self {
        let base = NTP_UNIX_OFFSET_S << 32;
        Self(base.wrapping_add(duration_to_q32(since_1970)))
    }

    /// The middle 32 bits, as in LSR and DLSR: 16.16 seconds.
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// 24 bits of 6.18 seconds, as the abs-send-time extension has it; wraps every 64 s.
    #[must_use]
    pub const fn abs_send_time(self) -> u32 {
        ((self.0 >> 14) & 0xFF_FFFF) as u32
    }

    /// This moment plus `time`.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.wrapping_add(duration_to_q32(time)))
    }

    /// Time from `earlier` to this moment; zero if `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let delta = self.0.wrapping_sub(earlier.0);
        if delta > u64::MAX / 2 { Duration::ZERO } else { q32_to_duration(delta) }
    }
}

/// 32.32 fixed point seconds; whole seconds wrap at 2^32.
#[must_use]
pub fn duration_to_q32(time: Duration) -> u64 {
    // Rounded to nearest, so that a round trip through nanoseconds is exact.
    let fraction = ((u128::from(time.subsec_nanos()) << 32) + NANOS_PER_S / 2) / NANOS_PER_S;
    (time.as_secs() << 32).wrapping_add(fraction as u64)
}

/// Inverse of [`duration_to_q32`], to the nearest nanosecond.
#[must_use]
pub fn q32_to_duration(q32: u64) -> Duration {
    let nanos = (u128::from(q32 & 0xFFFF_FFFF) * NANOS_PER_S + (1 << 31)) >> 32;
    Duration::from_secs(q32 >> 32) + Duration::from_nanos(nanos as u64)
}

/// 16.16 fixed point seconds, as in DLSR; saturates at 18.2 hours.
#[must_use]
pub fn duration_to_q16(time: Duration) -> u32 {
    let q16 = (u128::from(time.as_secs()) << 16)
        + ((u128::from(time.subsec_nanos()) << 16) / NANOS_PER_S);
    u32::try_from(q16).unwrap_or(u32::MAX)
}

/// Inverse of [`duration_to_q16`].
#[must_use]
pub fn q16_to_duration(q16: u32) -> Duration {
    q32_to_duration(u64::from(q16) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_and_sizes_convert_through_time() {
        assert_eq!(Bitrate::mbps(8) * Duration::from_millis(10), DataSize::bytes(10_000));
        assert_eq!(DataSize::bytes(10_000) / Bitrate::mbps(8), Duration::from_millis(10));
        assert_eq!(DataSize::bytes(10_000).per(Duration::from_millis(10)), Bitrate::mbps(8));
        assert_eq!(DataSize::bytes(1) / Bitrate::ZERO, Duration::MAX);
        assert_eq!(DataSize::bytes(1).per(Duration::ZERO), Bitrate::ZERO);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Bitrate::kbps(1) - Bitrate::kbps(2), Bitrate::ZERO);
        assert_eq!(Bitrate::MAX + Bitrate::bps(1), Bitrate::MAX);
        assert_eq!(Bitrate::kbps(1) * -1.0, Bitrate::ZERO);
        assert_eq!(Bitrate::MAX * Duration::MAX, DataSize::bytes(u64::MAX));
    }

    #[test]
    fn rates_print_with_their_unit() {
        assert_eq!(Bitrate::bps(999).to_string(), "999 bit/s");
        assert_eq!(Bitrate::kbps(32).to_string(), "32.0 kbit/s");
        assert_eq!(Bitrate::kbps(2_500).to_string(), "2.50 Mbit/s");
    }

    #[test]
    fn ntp_of_the_unix_epoch_and_its_middle() {
        let ntp = NtpTime::from_unix(Duration::from_millis(500));
        assert_eq!(ntp.0, (2_208_988_800 << 32) | 0x8000_0000);
        assert_eq!(ntp.middle(), 0x7E80_8000);
        // 6.18: 2 208 988 800 mod 64 = 0, so half a second is 2^17.
        assert_eq!(ntp.abs_send_time(), 1 << 17);
    }

    #[test]
    fn ntp_difference_survives_the_era_wrap() {
        let before = NtpTime(u64::MAX - (1 << 31));
        let after = before.plus(Duration::from_secs(1));
        assert!(after.0 < before.0);
        assert_eq!(after.since(before), Duration::from_secs(1));
        assert_eq!(before.since(after), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn q32_round_trips(nanos in 0u64..4_000_000_000_000_000_000) {
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(q32_to_duration(duration_to_q32(time)), time);
        }

        #[test]
        fn q16_round_trips_within_a_tick(nanos in 0u64..65_000_000_000_000) {
            let time = Duration::from_nanos(nanos);
            let back = q16_to_duration(duration_to_q16(time));
            prop_assert!(time.abs_diff(back) <= Duration::from_nanos(15_259));
        }
    }
}
