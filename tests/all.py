#!/usr/bin/env python3
"""Set up and run every check of the project; the second command of README.

    python3 tests/all.py             everything
    python3 tests/all.py lint unit   only these steps
    python3 tests/all.py --list      what there is

Needs Python 3.11+, cargo and a C compiler. Makes `.venv` beside pyproject.toml. What the machine
lacks (a browser, GStreamer, root for network namespaces) is skipped and named at the end; with
`--strict` it fails instead. What measures time of a thousand clients needs a machine of its own and
is not part of this: `.venv/bin/pytest -m bench tests/loopback`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
AGENTS_VENV = ROOT / ".venv-agents"
DATAPLANE = ROOT / "dataplane"


class Step(NamedTuple):
    """One line of the table: what is run, where."""

    name: str
    about: str
    run: Callable[[], list[list[str]]]
    cwd: Path = ROOT


def tool(name: str, *args: str) -> list[str]:
    """A program of the virtual environment."""
    return [str(BIN / name), *args]


def pytest(*args: str) -> list[str]:
    """pytest with warnings as errors (pyproject.toml) and no cache left behind."""
    return tool("python", "-m", "pytest", "-q", *args)


def javascript() -> list[list[str]]:
    """Syntax of the browser modules, where Node is at hand."""
    node = shutil.which("node")
    if node is None:
        return []
    files = sorted(str(path) for path in (ROOT / "sfu" / "web").rglob("*.js"))
    return [[node, "--check", file] for file in files]


def compat() -> list[list[str]]:
    """LiveKit's packages are installed first: for Node and browsers where npm is at hand; its agents apart,
    as they demand an older client than the one that is tested."""
    npm = shutil.which("npm")
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    packages = [[npm, "ci", "--prefix", str(ROOT / "tests" / "compat" / "js"), *quiet]] if npm else []
    if not (AGENTS_VENV / "bin" / "python").exists():
        venv.create(AGENTS_VENV, with_pip=True)
    wanted = str(ROOT / "tests" / "compat" / "agents" / "requirements.txt")
    agents = [str(AGENTS_VENV / "bin" / "python"), "-m", "pip", "install", "-q"]
    packages.append([*agents, "--disable-pip-version-check", "-r", wanted])
    return [*packages, pytest("tests/compat")]


STEPS = (
    Step("format", "ruff format", lambda: [tool("ruff", "format", "--check", ".")]),
    Step("lint", "ruff", lambda: [tool("ruff", "check", ".")]),
    Step("types", "mypy --strict", lambda: [tool("mypy"), tool("mypy", "tests")]),
    Step("stub", "the stub equals the module", lambda: [tool("stubtest", "sfu.dataplane._native")]),
    Step("layers", "who may import whom", lambda: [tool("lint-imports")]),
    Step("javascript", "syntax of the browser client", javascript),
    Step("rustfmt", "cargo fmt", lambda: [["cargo", "fmt", "--all", "--check"]], DATAPLANE),
    Step(
        "clippy",
        "cargo clippy, warnings are errors",
        lambda: [
            ["cargo", "clippy", "-q", "--locked", "--all-targets", "--all-features", "--", "-D", "warnings"]
        ],
        DATAPLANE,
    ),
    Step(
        "deny",
        "cargo deny: licences, sources and bans of the crates",
        lambda: [tool("cargo-deny", "--locked", "check", "bans", "licenses", "sources")],
        DATAPLANE,
    ),
    Step("rust", "cargo test", lambda: [["cargo", "test", "-q", "--locked"]], DATAPLANE),
    Step("unit", "Python without sockets", lambda: [pytest("tests/unit")]),
    Step(
        "loopback",
        "real sockets, aiortc, hostile input",
        lambda: [pytest("-m", "not bench", "tests/loopback")],
    ),
    Step("compat", "LiveKit's own packages, unmodified", compat),
    Step("browser", "Chromium, Firefox, GStreamer", lambda: [pytest("tests/browser")]),
    Step(
        "wheel", "a wheel in an empty environment runs the server", lambda: [tool("python", "tests/wheel.py")]
    ),
)


def set_up() -> bool:
    """Make the environment and build the native module (an editable install, optimised)."""
    if not (BIN / "python").exists():
        venv.create(VENV, with_pip=True)
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[agents,test]"]
    return run([[str(BIN / "python"), *install]], ROOT)


def run(commands: list[list[str]], cwd: Path) -> bool:
    """Run commands one after the other; False at the first that fails."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(VENV)}
    return all(subprocess.run(c, check=False, cwd=cwd, env=environment).returncode == 0 for c in commands)


def main() -> int:
    """Run the chosen steps, print a table, and give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="step")
    parser.add_argument("--strict", action="store_true", help="what cannot run here fails")
    parser.add_argument("--list", action="store_true", help="name the steps and stop")
    parser.add_argument("--no-setup", action="store_true", help="use .venv as it is")
    arguments = parser.parse_args()
    names = [step.name for step in STEPS]
    if unknown := set(arguments.steps) - set(names):
        parser.error(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if arguments.list:
        print("\n".join(f"{step.name:12} {step.about}" for step in STEPS))
        return 0
    if arguments.strict:
        os.environ["AIRSIDE_TEST_STRICT"] = "1"
    started = time.monotonic()
    if not arguments.no_setup:
        print("== setup: .venv and the native module", flush=True)
        if not set_up():
            return 1
    results: list[tuple[str, str, float]] = []
    for step in STEPS:
        if arguments.steps and step.name not in arguments.steps:
            continue
        commands = step.run()
        print(f"\n== {step.name}: {step.about}", flush=True)
        before = time.monotonic()
        outcome = ("ok" if run(commands, step.cwd) else "FAILED") if commands else "not here"
        results.append((step.name, outcome, time.monotonic() - before))
    print("\n" + "\n".join(f"{outcome:9} {name:12} {seconds:6.1f} s" for name, outcome, seconds in results))
    failed = sum(outcome == "FAILED" for _, outcome, _ in results)
    absent = sum(outcome == "not here" for _, outcome, _ in results)
    good = len(results) - failed - absent
    took_s = time.monotonic() - started
    print(f"{good} steps good, {failed} failed, {absent} cannot run on this machine; {took_s:.0f} s")
    return 1 if failed or (arguments.strict and absent) else 0


if __name__ == "__main__":
    sys.exit(main())
