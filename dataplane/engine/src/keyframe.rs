//! When to ask a publisher for a keyframe: one requester per published layer, however many
//! subscribers wait (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1).

use std::time::{Duration, Instant};

/// Shortest time between requests for a layer.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// The same from 720p on, where a keyframe costs most.
const LARGE_INTERVAL: Duration = Duration::from_millis(500);
/// Added to the round trip: the publisher needs a moment to encode.
const ENCODE_TIME: Duration = Duration::from_millis(10);
/// Without a keyframe for so long the layer is dead or the publisher ignores PLI.
const ALARM: Duration = Duration::from_secs(3);
/// Time between requests after the alarm.
const ALARM_INTERVAL: Duration = Duration::from_secs(1);
/// So often a full intra request is sent under one number: as it may be lost, and so may its answer.
const FIR_REPEATS: u8 = 2;

/// What to send upstream, for the layer's own media SSRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Picture loss indication.
    Pli,
    /// Full intra request with its command sequence number.
    Fir(u8),
}

/// By which messages a publisher may be asked, as its codec agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By PLI, also where nothing was agreed: who ignores it is no worse off.
    Pli,
    /// By PLI, and once by FIR when that is ignored.
    PliThenFir,
    /// By FIR alone.
    Fir,
}

impl Way {
    pub(crate) fn agreed(pli: bool, fir: bool) -> Self {
        match (pli, fir) {
            (true, true) => Self::PliThenFir,
            (false, true) => Self::Fir,
            (_, false) => Self::Pli,
        }
    }
}

/// Collects wishes for a keyframe of one published layer.
#[derive(Debug)]
pub struct KeyframeRequester {
    min_interval: Duration,
    way: Way,
    fir_seq: u8,
    /// How often the command of this number was sent; 0: the next FIR is a new command.
    fir_sent: u8,
    wanted_since: Option<Instant>,
    last_sent: Option<Instant>,
}

impl KeyframeRequester {
    /// `large`: 720p or more.
    #[must_use]
    pub fn new(large: bool) -> Self {
        Self {
            min_interval: if large { LARGE_INTERVAL } else { MIN_INTERVAL },
            way: Way::Pli,
            fir_seq: 0,
            fir_sent: 0,
            wanted_since: None,
            last_sent: None,
        }
    }

    /// The publisher agreed to be asked this way.
    pub(crate) fn set_way(&mut self, way: Way) {
        self.way = way;
    }

    /// Someone needs a keyframe. Any number of calls are one wish; then call [`Self::poll`].
    pub fn want(&mut self, now: Instant) {
        self.wanted_since.get_or_insert(now);
    }

    /// A keyframe starts: all wishes are met.
    pub fn on_keyframe(&mut self) {
        self.cancel();
    }

    /// Nobody waits any more, or the publisher is muted.
    pub fn cancel(&mut self) {
        self.wanted_since = None;
        self.fir_sent = 0;
    }

    /// What to send now, if anything. Repeats until the keyframe comes.
    pub fn poll(&mut self, now: Instant, rtt: Duration) -> Option<Request> {
        let waiting = now.saturating_duration_since(self.wanted_since?);
        let interval = if waiting > ALARM { ALARM_INTERVAL } else { self.interval(rtt) };
        if self.last_sent.is_some_and(|sent| now.saturating_duration_since(sent) < interval) {
            return None;
        }
        self.last_sent = Some(now);
        match self.way {
            Way::Fir => Some(self.next_fir()),
            Way::PliThenFir if waiting > ALARM && self.fir_sent == 0 => Some(self.next_fir()),
            Way::Pli | Way::PliThenFir => Some(Request::Pli),
        }
    }

    /// A number is a command: it stays when the command is repeated, and rises with the next one
    /// (RFC 5104, section 4.3.1.2). A keyframe that was lost on its way takes a new command.
    fn next_fir(&mut self) -> Request {
        if self.fir_sent == 0 || self.fir_sent == FIR_REPEATS && self.way == Way::Fir {
            self.fir_seq = self.fir_seq.wrapping_add(1);
            self.fir_sent = 0;
        }
        self.fir_sent += 1;
        Request::Fir(self.fir_seq)
    }

    /// When [`Self::poll`] may have something next.
    #[must_use]
    pub fn poll_timeout(&self, rtt: Duration) -> Option<Instant> {
        let wanted = self.wanted_since?;
        let Some(sent) = self.last_sent else { return Some(wanted) };
        let next = wanted.max(sent + self.interval(rtt));
        Some(if next - wanted > ALARM { next.max(sent + ALARM_INTERVAL) } else { next })
    }

    /// The publisher has not answered for three seconds.
    #[must_use]
    pub fn is_ignored(&self, now: Instant) -> bool {
        self.wanted_since.is_some_and(|since| now.saturating_duration_since(since) > ALARM)
    }

    fn interval(&self, rtt: Duration) -> Duration {
        self.min_interval.max(rtt + ENCODE_TIME)
    }
}

/// Tells new full intra requests of a subscriber from repeated ones (RFC 5104, section 4.3.1.2).
#[derive(Debug, Default)]
pub struct FirFilter {
    last: Option<(u32, u8)>,
}

impl FirFilter {
    /// True the first time this sender's command arrives.
    pub fn is_new(&mut self, sender_ssrc: u32, seq: u8) -> bool {
        let command = Some((sender_ssrc, seq));
        let new = self.last != command;
        self.last = command;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn storm_of_wishes_is_five_requests_a_second() {
        let start = Instant::now();
        let mut requester = KeyframeRequester::new(false);
        let mut sent = 0;
        for tick in 0..1000 {
            // 100 subscribers with 10 requests a second each; keyframes come and are lost again.
            requester.want(start + ms(tick));
            sent += usize::from(requester.poll(start + ms(tick), RTT).is_some());
            if tick % 100 == 99 {
                requester.on_keyframe();
            }
        }
        assert_eq!(sent, 5);
    }

    #[test]
    fn first_wish_goes_out_at_once_and_repeats_until_the_keyframe() {
        let start = Instant::now();
        let mut requester = KeyframeRequester::new(false);
        assert_eq!(requester.poll(start, RTT), None);
        assert_eq!(requester.poll_timeout(RTT), None);
        requester.want(start);
        assert_eq!(requester.poll_timeout(RTT), Some(start));
        assert_eq!(requester.poll(start, RTT), Some(Request::Pli));
        assert_eq!(requester.poll_timeout(RTT), Some(start + ms(200)));
        assert_eq!(requester.poll(start + ms(199), RTT), None);
        assert_eq!(requester.poll(start + ms(200), RTT), Some(Request::Pli));
        requester.on_keyframe();
        assert_eq!(requester.poll(start + ms(900), RTT), None);
    }

    #[test]
    fn long_round_trips_and_large_pictures_wait_longer() {
        let start = Instant::now();
        let mut far = KeyframeRequester::new(false);
        let mut large = KeyframeRequester::new(true);
        far.want(start);
        large.want(start);
        far.poll(start, ms(300));
        large.poll(start, RTT);
        assert_eq!(far.poll(start + ms(309), ms(300)), None);
        assert!(far.poll(start + ms(310), ms(300)).is_some());
        assert_eq!(large.poll(start + ms(499), RTT), None);
        assert!(large.poll(start + ms(500), RTT).is_some());
    }

    #[test]
    fn ignored_requests_try_fir_once_and_slow_down() {
        let start = Instant::now();
        let mut requester = KeyframeRequester::new(false);
        requester.set_way(Way::agreed(true, true));
        requester.want(start);
        let mut requests = Vec::new();
        for tick in 0..80 {
            requests.extend(requester.poll(start + ms(100 * tick), RTT));
        }
        assert!(requester.is_ignored(start + ms(3001)));
        assert_eq!(requests.iter().filter(|sent| **sent == Request::Fir(1)).count(), 1);
        assert_eq!(requests.len(), 16 + 4, "five a second, then one");
    }

    #[test]
    fn who_takes_fir_alone_gets_it_as_often_as_pli_and_each_command_twice() {
        let start = Instant::now();
        let mut requester = KeyframeRequester::new(false);
        requester.set_way(Way::agreed(false, true));
        let mut asked = |from: u64, to: u64| {
            requester.want(start + ms(from));
            let numbers: Vec<Request> =
                (from..to).filter_map(|at| requester.poll(start + ms(at), RTT)).collect();
            requester.on_keyframe();
            numbers
        };
        let fir = |numbers: &[u8]| numbers.iter().map(|at| Request::Fir(*at)).collect::<Vec<_>>();
        assert_eq!(asked(0, 900), fir(&[1, 1, 2, 2, 3]));
        assert_eq!(asked(1000, 1300), fir(&[4, 4]), "another wish is another command");
        assert_eq!(asked(1400, 1401), fir(&[5]));
        assert_eq!(asked(1450, 1550), [], "no sooner than PLI");
        assert_eq!(Way::agreed(false, false), Way::Pli);
    }

    #[test]
    fn repeated_fir_is_one() {
        let mut filter = FirFilter::default();
        assert!(filter.is_new(1, 0));
        assert!(!filter.is_new(1, 0));
        assert!(filter.is_new(1, 1));
        assert!(filter.is_new(2, 1));
    }

    #[test]
    fn the_timeout_is_never_before_the_next_request() {
        let (mut requester, start) = (KeyframeRequester::new(false), Instant::now());
        requester.set_way(Way::PliThenFir);
        requester.want(start);
        let (mut now, mut requests) = (start, 0);
        for _ in 0..100 {
            now = requester.poll_timeout(RTT).unwrap();
            assert!(requester.poll(now, RTT).is_some(), "{:?} after the wish", now - start);
            requests += 1;
        }
        assert!(now - start > Duration::from_secs(20), "{requests} requests in {:?}", now - start);
    }
}
