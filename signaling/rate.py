"""A token bucket. Sans-IO: time comes in as `now`."""


class TokenBucket:
    """Admits `rate_per_s` on average and `burst` at once. Starts full."""

    __slots__ = ("_burst", "_level", "_rate_per_s", "_updated_at")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._level = burst
        self._updated_at = now

    def take(self, now: float) -> bool:
        """Take one; False when there is none, and then nothing is taken."""
        elapsed_s = max(0.0, now - self._updated_at)
        self._updated_at = now
        self._level = min(self._burst, self._level + elapsed_s * self._rate_per_s)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
