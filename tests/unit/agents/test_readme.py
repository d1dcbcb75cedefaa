"""The samples of the client's page are Python that uses what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import sfu.agents

PAGE = Path(sfu.agents.__file__).with_name("README.md")
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_samples_import_what_exists() -> None:
    assert SAMPLES
    for sample in SAMPLES:
        compile(sample, str(PAGE), "exec")
        for node in ast.walk(ast.parse(sample)):
            if isinstance(node, ast.ImportFrom) and node.module == "sfu.agents":
                assert {alias.name for alias in node.names} <= set(sfu.agents.__all__)


def test_everything_exported_is_there() -> None:
    assert all(hasattr(sfu.agents, name) for name in sfu.agents.__all__)
