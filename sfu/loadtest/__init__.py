"""`airside load-test`: many clients whose media runs on the packet plane in client role.

Publishers send generated packets that carry their send time; subscribers meter what reaches them.
"""

from sfu.loadtest.options import Options
from sfu.loadtest.report import Report
from sfu.loadtest.runner import Progress, run

__all__ = ["Options", "Progress", "Report", "run"]
