"""PCM sources: real time out of any writer, on a loop whose clock is ours."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from sfu.agents.audio import FRAME_SAMPLES, SAMPLE_RATE, AudioFrame, PcmSource, Resampler, as_samples
from sfu.agents.errors import SourceEndedError


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(body: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a virtual loop."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(body(loop))


def ramp(count: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (np.arange(count) % 30000 + 1).astype(np.int16)


def joined(frames: list[AudioFrame]) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.concatenate([frame.data for frame in frames])[:, 0]


def test_frames_come_every_20_ms_without_drift() -> None:
    async def body(loop: VirtualLoop) -> None:
        source = PcmSource()
        began = loop.time()
        for number in range(500):
            frame = await source.read()
            assert abs(loop.time() - began - number * 0.02) < 1e-6
            assert frame.timestamp_s == pytest.approx(number * 0.02)
            assert frame.data.shape == (FRAME_SAMPLES, 1)

    run(body)


def test_what_is_written_comes_out_whole_with_silence_after() -> None:
    async def body(_: VirtualLoop) -> None:
        source = PcmSource()
        written = ramp(5000)
        await source.write(written)
        assert source.buffered_s == pytest.approx(5000 / SAMPLE_RATE)
        out = joined([await source.read() for _ in range(8)])
        assert np.array_equal(out[out != 0], written)

    run(body)


def test_a_writer_in_real_time_with_small_pieces_is_not_cut_up() -> None:
    async def body(_: VirtualLoop) -> None:
        source = PcmSource()
        written = ramp(480 * 100)

        async def write() -> None:
            for piece in np.split(written, 100):
                await source.write(piece)
                await asyncio.sleep(0.01)

        task = asyncio.create_task(write())
        out = joined([await source.read() for _ in range(55)])
        await task
        sound = np.flatnonzero(out)
        assert np.array_equal(out[sound], written)
        assert sound[-1] - sound[0] + 1 == len(written), "no hole"

    run(body)


def test_a_fast_writer_waits_for_room() -> None:
    async def body(_: VirtualLoop) -> None:
        source = PcmSource(buffer_s=0.1)
        writer = asyncio.create_task(source.write(ramp(4800)))
        await writer
        await source.write(ramp(960))
        blocked = asyncio.create_task(source.write(ramp(960)))
        await asyncio.sleep(0)
        assert not blocked.done()
        await source.read()
        await blocked

    run(body)


def test_drained_and_clear() -> None:
    async def body(loop: VirtualLoop) -> None:
        source = PcmSource()
        await source.write(ramp(960 * 3))
        drained = asyncio.create_task(source.drained())
        for _ in range(3):
            assert not drained.done()
            await source.read()
        await drained
        await source.write(ramp(9600))
        source.flush()
        assert source.buffered_s == 0
        assert not (await source.read()).data.any()

    run(body)


def test_muted_time_goes_on() -> None:
    async def body(loop: VirtualLoop) -> None:
        source = PcmSource()
        first = await source.read()
        source.enable(False)
        reading = asyncio.create_task(source.read())
        await asyncio.sleep(5)
        assert not reading.done()
        source.enable(True)
        after = await reading
        assert after.timestamp_s - first.timestamp_s == pytest.approx(5, abs=0.021)

    run(body)


def test_a_late_reader_skips_instead_of_catching_up() -> None:
    async def body(loop: VirtualLoop) -> None:
        source = PcmSource()
        await source.read()
        loop.now += 1.0
        frame = await source.read()
        assert frame.timestamp_s == pytest.approx(1.0, abs=0.021)
        began = loop.time()
        await source.read()
        assert loop.time() - began <= 0.02 + 1e-6

    run(body)


def test_close_ends_readers_and_writers() -> None:
    async def body(_: VirtualLoop) -> None:
        source = PcmSource(buffer_s=0)
        await source.write(ramp(960))
        writer = asyncio.create_task(source.write(ramp(960)))
        await asyncio.sleep(0)
        source.close()
        await writer
        await source.drained()
        with pytest.raises(SourceEndedError):
            await source.read()

    run(body)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (24000, 2), (44100, 1), (48000, 2)])
def test_other_rates_keep_length_and_pitch(rate: int, channels: int) -> None:
    seconds = 1.0
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.int16)
    samples = np.repeat(tone.reshape(-1, 1), channels, axis=1)
    resampler = Resampler(SAMPLE_RATE, 1)
    out = np.concatenate([resampler.convert(piece, rate) for piece in np.array_split(samples, 50)])[:, 0]
    assert abs(len(out) - SAMPLE_RATE * seconds) < 100
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(out) == pytest.approx(440, abs=2)


def test_a_stream_may_go_from_one_channel_to_two_and_back() -> None:
    resampler = Resampler(16_000, 1)
    for channels, sample_rate in [(1, 48_000), (2, 48_000), (1, 48_000), (1, 24_000)]:
        pcm = np.full((sample_rate // 5, channels), 1000, np.int16)
        converted = resampler.convert(pcm, sample_rate)
        assert converted.shape[1] == 1
        assert len(converted) == pytest.approx(3200, abs=40)
        assert np.median(converted) == pytest.approx(1000, abs=20)


def test_accepted_forms_of_pcm() -> None:
    expected = np.array([[1], [-2]], np.int16)
    assert np.array_equal(as_samples(b"\x01\x00\xfe\xff", 1), expected)
    assert np.array_equal(as_samples(np.array([1, -2], np.int16), 1), expected)
    assert as_samples(b"\x01\x00\xfe\xff", 2).shape == (1, 2)
    for wrong in (b"\x00", np.zeros(4, np.float32), np.zeros((4, 2), np.int16)):
        with pytest.raises(ValueError, match=r".+"):
            as_samples(wrong, 1)


def test_frame_as_bytes() -> None:
    frame = AudioFrame(np.array([[1, 2], [3, 4]], np.int16), 48000, 0.0)
    assert frame.to_bytes() == b"\x01\x00\x02\x00\x03\x00\x04\x00"
    assert frame.duration_s == pytest.approx(2 / 48000)
