"""A published track: what others see of it, and what the plane calls it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from sfu.core.codecs import Encryption, MediaKind, TrackSource
from sfu.core.ids import Identity, ParticipantSid, TrackId, TrackSid
from sfu.tracks.hints import NO_HINTS, BackupPolicy, TrackHints
from sfu.tracks.layers import LayerInfo


@dataclass(frozen=True, slots=True)
class Backup:
    """A track's picture in a second codec, for those who cannot decode the first."""

    mime: str
    mid: str
    cid: str


@dataclass(frozen=True, slots=True)
class TrackInfo:
    """A track as clients see it. Replaced, never changed."""

    sid: TrackSid
    participant: ParticipantSid
    identity: Identity
    kind: MediaKind
    source: TrackSource
    name: str
    mid: str
    """Section of the publisher's transport. Means nothing to others."""
    muted: bool
    mime: str
    """What is really sent; until the first packet, what was agreed first."""
    layers: tuple[LayerInfo, ...]
    """Lowest first; always at least one."""
    encryption: Encryption = Encryption.NONE
    stereo: bool = False
    cid: str = ""
    """The publisher's own name of it; "" if it has none. Means nothing to others."""
    hints: TrackHints = NO_HINTS
    backup_mime: str = ""
    """A codec in which its publisher can send the same picture beside, once somebody needs it; "" none."""
    backup: Backup | None = None
    """The same picture in that codec, while it is published."""

    @property
    def simulcast(self) -> bool:
        """More than one layer was agreed."""
        return len(self.layers) > 1

    @property
    def width_px(self) -> int:
        """Of the highest layer; 0 unknown, or audio."""
        return max(layer.width_px for layer in self.layers)

    @property
    def height_px(self) -> int:
        """Of the highest layer; 0 unknown, or audio."""
        return max(layer.height_px for layer in self.layers)


@dataclass(slots=True, eq=False)
class Track:
    """One publication as its room holds it. `info` is replaced when something changes."""

    id: TrackId
    info: TrackInfo
    formats: tuple[int, ...]
    """Format numbers of the agreed codecs, by the publisher's preference."""
    codec_names: tuple[str, ...]
    """Their mime types, for people."""
    sent: int = 0
    """Index of the codec that is really sent; until the first packet, the preferred one."""
    server_muted: bool = False
    """Muted by an administrator: held back here too, so that it holds for a client that does not obey."""

    wanted_layers: int | None = None
    """How many of its layers anybody takes, from the lowest; None: the plane has not said."""

    backup: Track | None = None
    """The same picture in another codec: to the plane a track of its own, to people the same one."""
    original: Track | None = None
    """Only of a backup: the track that it belongs to."""
    backup_wanted: bool = False
    """Its publisher was asked for the backup."""
    started: bool = False
    """Some of it has come."""

    @property
    def sid(self) -> TrackSid:
        """Public id."""
        return self.info.sid

    @property
    def kind(self) -> MediaKind:
        """Audio or video."""
        return self.info.kind

    def fits(self, formats: Collection[int]) -> bool:
        """Whether a slot that takes these formats can carry the track.

        Sound may be sent with redundancy or without, and the plane makes the one of the other.
        """
        if self.kind is MediaKind.AUDIO:
            return any(number in formats for number in self.formats)
        return self.formats[self.sent] in formats

    def carried_by(self, formats: Collection[int]) -> Track | None:
        """What of it a section with these formats can carry: itself, its backup, or nothing."""
        backup = self.backup if self.backup is not None and self.backup.fits(formats) else None
        if self.fits(formats) and not (backup is not None and self.regressed):
            return self
        return backup

    @property
    def regresses(self) -> bool:
        """Once somebody needs the backup, whoever can take it gets it: the first codec may then stop."""
        return self.info.hints.backup_policy is not BackupPolicy.SIMULCAST

    @property
    def regressed(self) -> bool:
        """That has happened."""
        return self.regresses and self.backup is not None and self.backup.started

    def attach(self, backup: Track) -> None:
        """Its picture comes in a second codec too."""
        self.backup, backup.original = backup, self
        info = backup.info
        self.info = replace(self.info, backup=Backup(info.mime, info.mid, info.cid))

    def detach(self) -> None:
        """The second codec has ended; somebody may need it again."""
        self.backup, self.backup_wanted = None, False
        self.info = replace(self.info, backup=None)

    def set_muted(self, muted: bool) -> bool:
        """Whether that changed anything."""
        if self.info.muted == muted:
            return False
        self.info = replace(self.info, muted=muted)
        return True

    def set_layer_active(self, layer: int, active: bool) -> bool:
        """Whether that changed anything. A layer that was never announced is passed over."""
        layers = self.info.layers
        if layer >= len(layers) or layers[layer].active == active:
            return False
        changed = replace(layers[layer], active=active)
        self.info = replace(self.info, layers=(*layers[:layer], changed, *layers[layer + 1 :]))
        return True

    def set_sent(self, codec: int) -> bool:
        """The publisher sends this of its codecs; whether that is news."""
        if codec == self.sent or codec >= len(self.formats):
            return False
        self.sent = codec
        self.info = replace(self.info, mime=self.codec_names[codec])
        return True
