"""What every LiveKit client of this server shares."""

from dataclasses import dataclass, replace

from livekit.protocol import models

from sfu.core.clock import Clock
from sfu.dataplane.commands import DataDialect
from sfu.participants.requests import Shape
from sfu.service import Service
from sfu.telemetry.metrics import Metrics
from signaling.auth import Authenticator
from signaling.livekit import mapping

SERVER_VERSION = "1.13.5"
"""The version of LiveKit's server that clients are told: they decide by it what they may use."""
PROTOCOL_VERSION = 17
AGENT_PROTOCOL_VERSION = 1

RETURN_GRACE_S = 5.0
"""For who lost its transport, before others see it leave; as LiveKit's server."""

SINGLE_SHAPE = Shape(
    declares=True, names=mapping.section_name, data=DataDialect.LIVEKIT, return_grace_s=RETURN_GRACE_S
)
DUAL_SHAPE = replace(SINGLE_SHAPE, two_connections=True)


@dataclass(frozen=True, slots=True)
class LiveKitContext:
    """Made once, by the routes."""

    service: Service
    authenticator: Authenticator
    clock: Clock
    metrics: Metrics
    node: str
    codecs: tuple[models.Codec, ...]
    """What clients may publish, most usual first."""

    @property
    def server_info(self) -> models.ServerInfo:
        """Who we are."""
        return models.ServerInfo(
            edition=models.ServerInfo.Edition.Standard,
            version=SERVER_VERSION,
            protocol=PROTOCOL_VERSION,
            agent_protocol=AGENT_PROTOCOL_VERSION,
            node_id=self.node,
        )
