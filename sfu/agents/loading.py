"""From a Python file to the worker it makes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from sfu.agents.worker import Worker
from sfu.core.errors import AirsideError


class NoWorkerError(AirsideError):
    """The file has no worker to run."""

    code = "no_worker"


def load_worker(file: Path) -> Worker:
    """The one `Worker` that a file makes. It remembers the file.

    Raises:
        NoWorkerError: There is none, or more than one.
    """
    spec = importlib.util.spec_from_file_location("agent", file)
    if spec is None or spec.loader is None:
        raise NoWorkerError(f"{file}: no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["agent"] = module
    sys.path.insert(0, str(file.parent))
    spec.loader.exec_module(module)
    found = [value for value in vars(module).values() if isinstance(value, Worker)]
    if len(found) != 1:
        raise NoWorkerError(f"{file}: makes {len(found)} workers; it needs one, as `worker = Worker()`")
    found[0].file = file
    return found[0]
