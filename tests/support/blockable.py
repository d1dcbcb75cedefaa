"""`python -m tests.support.blockable dev ...`: a server whose event loop can be blocked from outside.

SIGUSR1 keeps its thread busy for `BLOCK_S`, SIGUSR2 for `LONG_BLOCK_S`: no callback runs, the GIL is taken.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from sfu.cli.main import main

BLOCK_S = 0.5
LONG_BLOCK_S = 5.0


def block(number: int, _frame: FrameType | None) -> None:
    """Spin."""
    end = time.monotonic() + (LONG_BLOCK_S if number == signal.SIGUSR2 else BLOCK_S)
    while time.monotonic() < end:
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, block)
    signal.signal(signal.SIGUSR2, block)
    main()
