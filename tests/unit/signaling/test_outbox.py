from signaling.outbox import Outbox
from signaling.rate import TokenBucket


def test_frames_come_out_in_order_and_are_counted() -> None:
    outbox = Outbox(max_frames=3, max_bytes=100)
    assert outbox.put(b"one")
    assert outbox.put(b"three")
    assert (len(outbox), outbox.size) == (2, 8)
    assert [outbox.pop(), outbox.pop(), outbox.pop()] == [b"one", b"three", None]
    assert outbox.size == 0


def test_a_frame_past_the_count_is_refused_and_changes_nothing() -> None:
    outbox = Outbox(max_frames=2, max_bytes=100)
    assert outbox.put(b"a")
    assert outbox.put(b"b")
    assert not outbox.put(b"c")
    assert (len(outbox), outbox.size) == (2, 2)


def test_a_frame_past_the_bytes_is_refused() -> None:
    outbox = Outbox(max_frames=10, max_bytes=5)
    assert outbox.put(b"1234")
    assert not outbox.put(b"56")
    assert outbox.put(b"5")


def test_a_bucket_admits_its_burst_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.05)
    assert bucket.take(0.11)
    assert not bucket.take(0.11)


def test_a_bucket_never_holds_more_than_its_burst_and_ignores_a_clock_that_goes_back() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=2, now=0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(0.0)
