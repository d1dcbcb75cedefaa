"""Refuses a native module that was built from other Rust sources than those beside it.

A stale build fails in ways that look like bugs of the new code. In an installed wheel there are no
sources, and nothing is checked.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from sfu.core.errors import ServerError

CRATES = ("dtls/src", "engine/src", "python/src")
"""As in dataplane/python/build.rs, which computes the same sum."""
REBUILD = "maturin develop --release"
OVERRIDE = "AIRSIDE_STALE_NATIVE"
"""Set to `allow` to run with a stale build all the same."""


class StaleNativeError(ServerError):
    """The native module does not match the Rust sources of this source tree."""

    code = "stale_native"

    def __init__(self, workspace: Path) -> None:
        super().__init__(
            f"the native module was built from other sources than {workspace}: "
            f"run `{REBUILD}` in {workspace.parent}, or set {OVERRIDE}=allow"
        )


def source_checksum(workspace: Path) -> int:
    """CRC-32 of all Rust sources of a workspace: each file as path, zero byte, content, in path order."""
    files = sorted(
        (path.relative_to(workspace).as_posix().encode(), path)
        for crate in CRATES
        for path in (workspace / crate).rglob("*.rs")
    )
    checksum = 0
    for name, path in files:
        checksum = zlib.crc32(path.read_bytes(), zlib.crc32(name + b"\0", checksum))
    return checksum


def check(built_from: int, workspace: Path | None = None) -> None:
    """Compare the checksum inside the native module with the sources, if there are any.

    Args:
        built_from: What the module says of itself.
        workspace: Directory of the Rust workspace; by default the one beside the package `sfu`.

    Raises:
        StaleNativeError: They differ.
    """
    if workspace is None:
        workspace = Path(__file__).resolve().parents[2] / "dataplane"
    if not (workspace / "Cargo.toml").is_file() or os.environ.get(OVERRIDE) == "allow":
        return
    if source_checksum(workspace) != built_from:
        raise StaleNativeError(workspace)
