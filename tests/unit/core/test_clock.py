import asyncio

from sfu.core.clock import LoopClock, VirtualClock


class TestVirtualClock:
    def test_calls_in_order_of_time_then_of_registration(self) -> None:
        clock, seen = VirtualClock(), []
        for name, delay_s in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
            clock.call_later(delay_s, lambda name=name: seen.append((name, clock.monotonic())))  # type: ignore[misc]
        start = clock.monotonic()
        clock.advance(1.5)
        assert seen == [("a", start + 1), ("b", start + 1)]
        clock.advance(1.5)
        assert [name for name, _ in seen] == ["a", "b", "c"]
        assert clock.monotonic() == start + 3

    def test_cancelled_call_does_not_happen(self) -> None:
        clock, seen = VirtualClock(), []
        timer = clock.call_later(1, lambda: seen.append(1))
        assert clock.pending == 1
        timer.cancel()
        clock.advance(2)
        timer.cancel()
        assert seen == []
        assert clock.pending == 0

    def test_call_may_ask_for_another_now(self) -> None:
        clock, seen = VirtualClock(), []

        def again() -> None:
            clock.call_later(0, lambda: seen.append(1))

        clock.call_later(0, again)
        clock.advance(0)
        assert seen == [1]

    def test_wall_moves_along(self) -> None:
        clock = VirtualClock()
        before = clock.wall()
        clock.advance(7)
        assert clock.wall() == before + 7


async def test_loop_clock_calls_on_the_loop() -> None:
    clock, done = LoopClock(asyncio.get_running_loop()), asyncio.Event()

    def again() -> None:
        clock.call_later(0.001, done.set)

    clock.call_later(0, again)
    before = clock.monotonic()
    await asyncio.wait_for(done.wait(), 5)
    assert clock.monotonic() > before
    assert clock.wall() > 1_600_000_000
