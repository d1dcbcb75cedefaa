"""Matches the sections of an offer that send with the entries that say what they are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sfu.core.codecs import Codec, Encryption, MediaKind, TrackSource
from sfu.core.errors import InvalidRequestError, TrackSectionError, TrackUndeclaredError
from sfu.core.ids import Identity, Mid, ParticipantSid, RoomId, TrackId, TransportId, new_track_sid
from sfu.dataplane.commands import AddTrack, LayerSpec
from sfu.participants.requests import TrackRequest
from sfu.tracks.hints import TrackHints
from sfu.tracks.layers import LayerInfo
from sfu.tracks.track import Track, TrackInfo
from sfu.transport import commands
from sfu.transport.plan import ReceiveSection


@dataclass(frozen=True, slots=True)
class Publication:
    """A track in its section."""

    track: Track
    section: ReceiveSection
    """As negotiated last."""
    cid: str
    """The client's own name of the track; "" if it has none."""


@dataclass(frozen=True, slots=True)
class Publications:
    """What an offer means for its sender's tracks."""

    new: tuple[tuple[ReceiveSection, TrackRequest], ...]
    kept: tuple[tuple[ReceiveSection, Publication], ...]
    ended: tuple[Publication, ...]
    """Their section sends no more, or sends something else."""
    refused: frozenset[Mid]
    """Sections that still send a track which was ended here. The answer says no to them."""

    def plain(self) -> frozenset[Mid]:
        """Sections whose sound comes without redundancy: by the publisher's wish, or it is encrypted."""
        requested = {
            section.mid for section, request in self.new if _is_plain(request.hints, request.encryption)
        }
        kept = {
            section.mid
            for section, item in self.kept
            if _is_plain(item.track.info.hints, item.track.info.encryption)
        }
        return frozenset(requested | kept)

    def agreed(self, sections: Iterable[ReceiveSection]) -> Publications:
        """The same with the sections as they were agreed in the end."""
        by_mid = {section.mid: section for section in sections}
        return replace(
            self,
            new=tuple((by_mid.get(section.mid, section), request) for section, request in self.new),
            kept=tuple((by_mid.get(section.mid, section), item) for section, item in self.kept),
        )


@dataclass(frozen=True, slots=True)
class Declarations:
    """Tracks that were declared before their sections, oldest first, by the client's own name."""

    entries: Mapping[str, TrackRequest]

    def find(self, section: ReceiveSection, named: Collection[str], taken: Collection[str]) -> str | None:
        """The one for a section: by name, else the oldest of its kind that names no section of the offer."""
        if section.cid in self.entries:
            return None if section.cid in taken else section.cid
        for cid, request in self.entries.items():
            if cid not in taken and cid not in named and request_kind(request) in (None, section.kind):
                return cid
        return None


def _is_plain(hints: TrackHints, encryption: Encryption) -> bool:
    return not hints.red or encryption is not Encryption.NONE


def request_kind(request: TrackRequest) -> MediaKind | None:
    """What the entry says it is; None: it leaves that to the section."""
    return request.source.kind or request.kind


def other_codec(section: ReceiveSection, request: TrackRequest) -> Codec | None:
    """The codec that was declared, where the section has it and another one first: clients send the first.

    Only of video: sound is declared without a word about redundancy, which comes before the plain codec.
    """
    if section.kind is not MediaKind.VIDEO:
        return None
    named = next((item.codec for item in section.codecs if item.codec.mime == request.mime), None)
    return named if named is not section.codecs[0].codec else None


def match(
    sections: Sequence[ReceiveSection],
    requests: Sequence[TrackRequest],
    published: Mapping[Mid, Publication],
    retired: Collection[Mid],
    declared: Declarations | None = None,
) -> Publications:
    """Decide about each section.

    Args:
        sections: Sections in which the client would send from now on.
        requests: Its entries.
        published: Its tracks, by section.
        retired: Sections whose track was ended here while the client still sent.
        declared: What was announced before; None: in this dialect entries come with the offer, and a section
            without one is a mistake. Else it waits.

    Raises:
        TrackUndeclaredError: A section sends without an entry.
        TrackSectionError: An entry fits no section that sends, or two fit the same.
        InvalidRequestError: An entry names neither mid nor cid, or its source is of the other kind.
    """
    by_mid = _assign(sections, requests)
    if declared is not None:
        by_mid |= _declared(sections, declared, published, retired)
    new: list[tuple[ReceiveSection, TrackRequest]] = []
    kept: list[tuple[ReceiveSection, Publication]] = []
    refused: set[Mid] = set()
    for section in sections:
        before, request = published.get(section.mid), by_mid.get(section.mid)
        if before is not None and (request is None or track_cid(section, request) == before.cid):
            kept.append((section, before))
        elif request is not None:
            _check_kind(section, request)
            new.append((section, request))
        elif section.mid in retired:
            refused.add(section.mid)
        elif declared is None:
            raise TrackUndeclaredError(section.mid)
    staying = {section.mid for section, _ in kept}
    ended = tuple(item for mid, item in published.items() if mid not in staying)
    return Publications(tuple(new), tuple(kept), ended, frozenset(refused))


def track_cid(section: ReceiveSection, request: TrackRequest) -> str:
    """What the client calls the track that it sends in this section."""
    return request.cid or section.cid


def _assign(sections: Sequence[ReceiveSection], requests: Iterable[TrackRequest]) -> dict[Mid, TrackRequest]:
    mids = {section.mid: section for section in sections}
    cids = {section.cid: section for section in sections if section.cid}
    by_mid: dict[Mid, TrackRequest] = {}
    for request in requests:
        if request.mid is None and request.cid is None:
            raise InvalidRequestError("tracks", "each entry needs a mid or a cid")
        # After setLocalDescription a client knows its mids; before, only its own names.
        section = mids.get(Mid(request.mid)) if request.mid is not None else cids.get(request.cid or "")
        if section is None:
            raise TrackSectionError(f"no section of the offer sends {request.mid or request.cid}")
        if section.mid in by_mid:
            raise TrackSectionError(f"two entries describe section {section.mid}")
        by_mid[section.mid] = request
    return by_mid


def _declared(
    sections: Sequence[ReceiveSection],
    declared: Declarations,
    published: Mapping[Mid, Publication],
    retired: Collection[Mid],
) -> dict[Mid, TrackRequest]:
    named = {section.cid for section in sections}
    found: dict[Mid, TrackRequest] = {}
    taken: set[str] = set()
    for section in sections:
        before = published.get(section.mid)
        if before is not None and (section.cid == before.cid or section.cid not in declared.entries):
            continue
        if section.mid in retired and section.cid not in declared.entries:
            continue
        cid = declared.find(section, named, taken)
        if cid is not None and request_kind(declared.entries[cid]) in (None, section.kind):
            taken.add(cid)
            found[section.mid] = declared.entries[cid]
    return found


def _check_kind(section: ReceiveSection, request: TrackRequest) -> None:
    kind = request_kind(request)
    if kind is not None and kind is not section.kind:
        raise InvalidRequestError(
            "tracks", f"section {section.mid} is {section.kind.value}; {request.source.value} is {kind.value}"
        )


def layer_infos(section: ReceiveSection, request: TrackRequest) -> tuple[LayerInfo, ...]:
    """Sizes of the agreed layers, lowest first: by rid where both name one, else in order, else by halves."""
    count = len(section.layers)
    by_rid = {layer.rid: layer for layer in request.layers if layer.rid is not None}
    infos: list[LayerInfo] = []
    for index, spec in enumerate(section.layers):
        above = count - 1 - index
        if spec.rid is not None and spec.rid in by_rid:
            info = by_rid[spec.rid]
        elif len(request.layers) == count and not by_rid:
            info = request.layers[index]
        else:
            info = LayerInfo(width_px=request.width_px >> above, height_px=request.height_px >> above)
        infos.append(replace(info, rid=spec.rid, active=False))
    return tuple(infos)


def make_track(
    section: ReceiveSection,
    request: TrackRequest,
    track_id: TrackId,
    owner: ParticipantSid,
    identity: Identity,
) -> Track:
    """A new track in a section."""
    names = tuple(item.codec.mime for item in section.codecs)
    info = TrackInfo(
        sid=request.sid or new_track_sid(),
        participant=owner,
        identity=identity,
        kind=section.kind,
        source=request.source,
        name=request.name,
        mid=section.mid,
        muted=request.muted,
        mime=names[0],
        layers=layer_infos(section, request),
        encryption=request.encryption,
        stereo=request.stereo,
        cid=track_cid(section, request),
        hints=request.hints,
        backup_mime=request.backup_mime,
    )
    return Track(track_id, info, tuple(item.format for item in section.codecs), names)


def declared_info(request: TrackRequest, owner: ParticipantSid, identity: Identity) -> TrackInfo:
    """What can be said of a track whose section is yet to come. ValueError without a sid or a kind."""
    kind = request_kind(request)
    if request.sid is None or kind is None:
        raise ValueError("a declared track has a sid and a kind")
    size = LayerInfo(width_px=request.width_px, height_px=request.height_px)
    return TrackInfo(
        sid=request.sid,
        participant=owner,
        identity=identity,
        kind=kind,
        source=request.source,
        name=request.name,
        mid="",
        muted=request.muted,
        mime=request.mime,
        layers=request.layers or (size,),
        encryption=request.encryption,
        stereo=request.stereo,
        cid=request.cid or "",
        hints=request.hints,
        backup_mime=request.backup_mime,
    )


def renew_track(track: Track, section: ReceiveSection) -> None:
    """Its section was negotiated anew: other codecs, or other layers."""
    known = {layer.rid: layer for layer in track.info.layers}
    layers = tuple(known.get(spec.rid, LayerInfo(rid=spec.rid)) for spec in section.layers)
    track.formats = tuple(item.format for item in section.codecs)
    track.codec_names = tuple(item.codec.mime for item in section.codecs)
    track.sent = 0
    track.info = replace(track.info, layers=layers, mime=track.codec_names[0])


def add_track(track: Track, section: ReceiveSection, transport: TransportId, room: RoomId) -> AddTrack:
    """The command that makes the plane accept a track, or know it anew."""
    return replace(
        commands.add_track(track.id, section, transport, room),
        layers=tuple(
            LayerSpec(spec.rid, spec.ssrc, spec.rtx_ssrc, info.height_px)
            for spec, info in zip(section.layers, track.info.layers, strict=True)
        ),
        muted=track.info.muted,
        # One per participant, so that receivers play its tracks in sync (RFC 3550 section 6.5.1).
        cname=track.info.participant,
        screen=track.info.source is TrackSource.SCREEN_SHARE,
        encrypted=track.info.encryption is not Encryption.NONE,
    )
