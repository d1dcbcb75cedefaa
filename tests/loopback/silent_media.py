"""A media stack that offers real SDP and sends nothing: for tests of everything but media."""

from __future__ import annotations

import itertools

from sfu.agents.audio import PcmSource
from sfu.agents.media import MediaListener, Offer, VideoCodec
from sfu.agents.video import VideoSource
from sfu.core.codecs import MediaKind
from sfu.core.ids import SlotId
from sfu.transport.plan import SlotIds, TransportPlan
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Slot
from sfu.transport.sdp.client import ClientWish, Publish, accept, client_offer
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import parse, write
from sfu.transport.sdp.offer import Offered

LOCAL = LocalDescription("silent", "s" * 22, "sha-256 " + ":".join(["5E"] * 32), ice_lite=False)


class SilentMedia:
    """Implements `sfu.agents.media.Media` with our own offers."""

    def __init__(self, listener: MediaListener, policy: CodecPolicy | None = None) -> None:
        self.listener = listener
        self.plan: TransportPlan | None = None
        self.closed = False
        self._policy = policy or CodecPolicy()
        self._agreed = Agreed()
        self._wish = ClientWish()
        self._publish: dict[str, Publish] = {}
        self._numbers = itertools.count(1)
        self._offered: Offered | None = None

    def receive(self, *, audio: int, video: int) -> None:
        self._wish = ClientWish(audio, video)

    def send_audio(self, source: PcmSource) -> str:
        return self._send(MediaKind.AUDIO)

    def send_video(self, source: VideoSource, codec: VideoCodec) -> str:
        return self._send(MediaKind.VIDEO)

    def _send(self, kind: MediaKind) -> str:
        number = next(self._numbers)
        cid = f"cid{number}"
        slot = Slot(SlotIds(SlotId(number), 7000 + 2 * number, 7001 + 2 * number))
        self._publish[cid] = Publish(kind, cid, (slot,))
        return cid

    @property
    def local_ring(self) -> str:
        return ""

    def use_local_route(self, worker: int, route: int) -> None:
        raise AssertionError("it asked for none")

    def stop_sending(self, cid: str) -> None:
        del self._publish[cid]

    async def offer(self) -> Offer:
        wish = ClientWish(self._wish.receive_audio, self._wish.receive_video, tuple(self._publish.values()))
        self._offered = client_offer(self._agreed, wish, LOCAL, self._policy)
        mids = {item.msid[1]: str(item.mid) for item in self._offered.wanted if item.msid is not None}
        return Offer(write(self._offered.offer), mids)

    async def accept(self, answer_sdp: str) -> None:
        assert self._offered is not None
        result = accept(self._offered, parse(answer_sdp))
        self._agreed, self.plan = result.agreed, result.plan

    async def ready(self) -> None:
        raise NotImplementedError

    async def send_data(self, message: bytes, *, reliable: bool) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True
