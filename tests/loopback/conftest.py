"""What every test with real sockets needs."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def gather_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc gathers no 127.0.0.1 by itself; here it gathers nothing else."""
    ice = pytest.importorskip("aioice.ice")
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
