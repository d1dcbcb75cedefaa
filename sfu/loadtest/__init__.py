"""`airside load-test`: many clients whose media runs on the packet plane in client role.

Publishers send generated packets that carry their send time; subscribers meter what reaches them.
"""

from __future__ import annotations

from sfu.loadtest.options import Options
from sfu.loadtest.progress import OnProgress, Progress
from sfu.loadtest.report import Report

__all__ = ["OnProgress", "Options", "Progress", "Report", "run"]


async def run(options: Options, on_progress: OnProgress = lambda _: None) -> Report:
    """Run a load test on the running loop.

    Raises:
        LoadTestError: Options that cannot be met, or no way to the server. To be refused is a result.
    """
    # Imported here: the command line names its flags without loading the packet plane.
    from sfu.loadtest import runner

    return await runner.run(options, on_progress)
