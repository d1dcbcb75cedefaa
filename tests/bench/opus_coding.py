"""Processor time of PyAV to code 20 ms of speech as agents do: `python -m tests.bench.opus_coding`."""

from __future__ import annotations

import time

from sfu.agents.audio import FRAME_SAMPLES
from sfu.agents.plane.opus import OpusDecoder, OpusEncoder
from tests.loopback.signals import speech

ROUNDS = 20
FRAMES_PER_S = 50


def main() -> None:
    """Code the same sentence again and again."""
    samples = speech()
    pcm = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, 1)
    encoder, decoder = OpusEncoder(1), OpusDecoder()
    begun = time.thread_time()
    packets = [payload for _ in range(ROUNDS) for _, payload in encoder.encode(pcm)]
    encode_us = (time.thread_time() - begun) / len(packets) * 1e6
    begun = time.thread_time()
    decoder.decode(packets)
    decode_us = (time.thread_time() - begun) / len(packets) * 1e6
    echoes = 1e6 / (encode_us + decode_us) / FRAMES_PER_S
    print(f"encode {encode_us:.0f} us, decode {decode_us:.0f} us a frame: {echoes:.0f} echoes on a core")


if __name__ == "__main__":
    main()
