"""A native module is refused when the sources beside it are others than it was built from."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from sfu.dataplane.freshness import OVERRIDE, StaleNativeError, check, source_checksum


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(OVERRIDE, raising=False)
    for name, text in {
        "Cargo.toml": "",
        "engine/src/lib.rs": "mod ice;",
        "engine/src/ice/mod.rs": "",
        "engine/src/notes.md": "not Rust",
        "python/src/lib.rs": "mod udp;",
    }.items():
        path = tmp_path / "dataplane" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "dataplane"


def test_checksum_is_over_paths_and_contents_in_order(workspace: Path) -> None:
    expected = zlib.crc32(b"engine/src/ice/mod.rs\0engine/src/lib.rs\0mod ice;python/src/lib.rs\0mod udp;")
    assert source_checksum(workspace) == expected


def test_a_matching_build_passes(workspace: Path) -> None:
    check(source_checksum(workspace), workspace)


@pytest.mark.parametrize("name", ["engine/src/lib.rs", "engine/src/new.rs"])
def test_a_changed_or_new_source_is_named_with_the_command(workspace: Path, name: str) -> None:
    built_from = source_checksum(workspace)
    (workspace / name).write_text("changed")
    with pytest.raises(StaleNativeError, match="maturin develop --release"):
        check(built_from, workspace)


def test_prose_beside_the_sources_changes_nothing(workspace: Path) -> None:
    built_from = source_checksum(workspace)
    (workspace / "engine/src/notes.md").write_text("changed")
    check(built_from, workspace)


def test_an_installed_wheel_has_no_sources_to_compare(tmp_path: Path) -> None:
    check(0, tmp_path / "dataplane")


def test_a_developer_may_insist(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, "allow")
    check(0, workspace)
