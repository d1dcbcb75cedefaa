"""What everything at the edge stands on."""

from dataclasses import dataclass

from sfu.core.clock import Clock
from sfu.service import Service
from sfu.settings.models import Settings
from sfu.telemetry.health import Health
from sfu.telemetry.metrics import Metrics
from signaling.connection import Connections


@dataclass(frozen=True, slots=True)
class Edge:
    """Made by the composition root."""

    service: Service
    settings: Settings
    clock: Clock
    metrics: Metrics
    health: Health
    connections: Connections
    version: str
    node: str
    dev: bool = False
    """Hand out tokens to anybody who asks. For development only."""
