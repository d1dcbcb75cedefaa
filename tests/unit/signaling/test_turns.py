"""Writes spread over turns of the loop."""

import asyncio

from signaling.turns import Turns


async def test_a_turn_admits_so_many_and_the_others_wait_in_order() -> None:
    turns, done = Turns(per_turn=3), list[tuple[int, int]]()
    turn = 0

    async def write(number: int) -> None:
        await turns.take()
        done.append((turn, number))

    tasks = [asyncio.create_task(write(number)) for number in range(10)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        turn += 1
    assert [number for _, number in done] == list(range(10))
    per_turn = [sum(at == each for at, _ in done) for each in range(turn)]
    assert max(per_turn) == 3


async def test_a_cancelled_writer_does_not_hold_up_the_others() -> None:
    turns = Turns(per_turn=1)
    tasks = [asyncio.create_task(turns.take()) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks, return_exceptions=True)
    await turns.take()
