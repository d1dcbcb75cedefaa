"""A network namespace with one veth link to this machine: where clients live that never use loopback."""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

CLONE_NEWNET = 0x40000000
T = TypeVar("T")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Namespace:
    """`host_ip` is our end of the link, `ip` the namespace's."""

    name: str
    host_ip: str
    ip: str

    def command(self, *arguments: str) -> list[str]:
        """The arguments that run a program inside."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def inside(self, action: Callable[[], T]) -> T:
        """Run a function in a thread that is inside; sockets it makes stay there."""
        results: list[T] = []
        errors: list[BaseException] = []

        def body() -> None:
            try:
                with open(f"/var/run/netns/{self.name}") as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(action())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def connect(self, port: int) -> socket.socket:
        """A TCP connection to the namespace's own loopback."""
        return self.inside(lambda: socket.create_connection(("127.0.0.1", port), timeout=10))


def available() -> bool:
    """Whether this process may make namespaces."""
    if os.geteuid() != 0:
        return False
    name = f"airside-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode != 0:
        return False
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return True


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A fresh namespace with a default route to us; gone when the block ends."""
    number = next(_numbers)
    tag = f"{os.getpid() % 10000}{number}"
    subnet = f"10.{77 + number % 100}.{os.getpid() % 250}"
    space = Namespace(f"airside-{tag}", f"{subnet}.1", f"{subnet}.2")
    outer, inner = f"ao{tag}", f"ai{tag}"
    _ip("netns", "add", space.name)
    try:
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space.name)
        _ip("addr", "add", f"{space.host_ip}/24", "dev", outer)
        _ip("link", "set", outer, "up")
        for arguments in (
            ("addr", "add", f"{space.ip}/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", space.host_ip),
        ):
            _ip("-n", space.name, *arguments)
        yield space
    finally:
        subprocess.run(["ip", "link", "del", outer], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", space.name], capture_output=True, check=False)
