"""Build the wheel, install it into an empty environment, run the server from an empty folder."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20


def free_port(kind: socket.SocketKind) -> int:
    """A port nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> bytes:
    """The body at a URL, waiting until the server is up."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> int:
    """Exit code 0 when the installed program serves its page and ends on SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="airside-wheel-") as folder:
        wheels, home = Path(folder, "wheels"), Path(folder, "home")
        home.mkdir()
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "-w", str(wheels), str(ROOT)], check=True)
        wheel = next(wheels.glob("airside-*.whl"))
        print(f"built {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")
        venv.create(home / "venv", with_pip=True)
        python = home / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True, cwd=home)
        http, udp = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
        flags = ["--http.port", str(http), "--rtc.port", str(udp)]
        server = subprocess.Popen([home / "venv" / "bin" / "airside", "dev", *flags], cwd=home)
        try:
            base = f"http://127.0.0.1:{http}"
            get(f"{base}/readyz")
            for path in ("/", "/client/airside.js", "/demo/main.js", "/metrics"):
                assert get(base + path), f"{path} is empty"
        finally:
            server.terminate()
            code = server.wait(STOP_TIMEOUT_S)
        assert code == 0, f"the server ended with {code}"
    print("the wheel serves: 1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
