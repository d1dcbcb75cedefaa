"""What every test with real sockets needs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.ground import Ground, hostile_ground


@pytest.fixture(autouse=True)
def gather_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc gathers no 127.0.0.1 by itself; here it gathers nothing else."""
    ice = pytest.importorskip("aioice.ice")
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """A server with a call between two bystanders, one for all tests of a file."""
    async with hostile_ground(tmp_path_factory.mktemp("ground")) as ground:
        yield ground
