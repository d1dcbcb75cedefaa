"""What we publish, and the offers that say so: one at a time, each for all that is wanted when it is made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sfu.agents.audio import PcmSource
from sfu.agents.errors import RequestError, SignalLostError
from sfu.agents.media import Media, VideoCodec
from sfu.agents.signal import Signal
from sfu.agents.tracks import LocalTrack, RoomControl
from sfu.agents.video import VideoSource
from signaling.native.messages import Answer, Offer, TrackRequest
from signaling.native.values import SectionTrack
from signaling.native.values import Source as TrackSource

OFFER_ATTEMPTS = 3  # when the WebSocket is lost before the answer came

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Publication:
    """A source to publish, with what others see of it."""

    media: PcmSource | VideoSource
    source: TrackSource
    name: str = ""
    muted: bool = False
    codec: VideoCodec = "vp8"
    """Only for video."""
    width: int = 0
    """Of the picture, for those who choose by size; 0 is unknown."""
    height: int = 0


class Publisher:
    """Our own tracks. Every change of sections goes through `negotiate`."""

    def __init__(self, media: Media, signal: Signal, control: RoomControl) -> None:
        self.tracks: dict[str, LocalTrack] = {}
        """By track id."""
        self._media = media
        self._signal = signal
        self._control = control
        self._publications: dict[str, Publication] = {}
        self._announced: set[str] = set()
        self._lock = asyncio.Lock()
        self._offers = 0

    def add(self, publication: Publication) -> str:
        """A source for the next offer; its cid."""
        if isinstance(publication.media, PcmSource):
            cid = self._media.send_audio(publication.media)
        else:
            cid = self._media.send_video(publication.media, publication.codec)
        publication.media.enable(not publication.muted)
        self._publications[cid] = publication
        return cid

    def requests(self, mids: Mapping[str, str], attempt: int = 0) -> tuple[TrackRequest, ...]:
        """Entries for the sections of an offer that publish for the first time.

        Another `attempt` of an offer that may have been answered uses other cids: its tracks are then new
        again, and named in the answer.
        """
        suffix = f".{attempt}" if attempt else ""
        return tuple(
            TrackRequest(
                mid=mids[cid],
                cid=cid + suffix,
                source=item.source,
                name=item.name,
                muted=item.muted,
                width=item.width,
                height=item.height,
            )
            for cid, item in self._publications.items()
            if cid not in self._announced
        )

    def take(self, sections: tuple[SectionTrack, ...], mids: Mapping[str, str]) -> None:
        """What the server made of an offer's new sections."""
        cids = {mid: cid for cid, mid in mids.items()}
        for section in sections:
            cid = cids.get(section.mid or "")
            if cid is None or cid not in self._publications:
                continue
            self._announced.add(cid)
            source = self._publications[cid].media
            self.tracks[section.track.id] = LocalTrack(
                self._control, section.track, section.mid or "", cid, source
            )

    async def publish(self, publication: Publication) -> LocalTrack:
        """Publish a source.

        Raises:
            RequestError: The server refuses; the source is closed.
        """
        cid = self.add(publication)
        try:
            await self.negotiate()
        except Exception:
            self._drop(cid)
            raise
        for track in self.tracks.values():
            if track.cid == cid:
                return track
        self._drop(cid)
        raise RequestError("track_undeclared", "the server did not take the track")

    def forget(self, track_id: str) -> LocalTrack | None:
        """The track is over: its source ends, its section is free with the next offer."""
        track = self.tracks.pop(track_id, None)
        if track is not None:
            track.published = False
            self._drop(track.cid)
        return track

    def _drop(self, cid: str) -> None:
        self._media.stop_sending(cid)
        self._publications.pop(cid, None)
        self._announced.discard(cid)

    async def negotiate(self) -> None:
        """Offer what is wanted now, and take the answer.

        Raises:
            RequestError: The server refuses.
            SignalLostError: The WebSocket was lost again and again.
        """
        async with self._lock:
            offer = await self._media.offer()
            for attempt in range(OFFER_ATTEMPTS):
                self._offers += 1
                request = Offer(id=self._offers, sdp=offer.sdp, tracks=self.requests(offer.mids, attempt))
                try:
                    answer = await self._signal.request(request, Answer)
                    break
                except SignalLostError:
                    # An offer may come twice: the server keeps sections and slots.
                    if attempt + 1 == OFFER_ATTEMPTS:
                        raise
                    _log.info("an offer is repeated: the connection was lost before its answer")
            self.take(answer.tracks, offer.mids)
            await self._media.accept(answer.sdp)
