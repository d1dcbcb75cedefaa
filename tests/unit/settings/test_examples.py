"""Every file in config/ is a configuration that the server takes."""

from pathlib import Path

import pytest
import yaml

from sfu.settings.load import load

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.name)
def test_example_loads(file: Path) -> None:
    load(file)


def test_there_are_examples() -> None:
    assert len(list(CONFIG.glob("*.yaml"))) > 1


def test_the_container_publishes_one_tcp_and_one_udp_port() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["airside"]["ports"] == ["7880:7880/tcp", "7882:7882/udp"]
    assert "EXPOSE 7880/tcp 7882/udp" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
