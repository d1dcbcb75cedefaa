"""Who speaks in a room, as everybody in it is told."""

from __future__ import annotations

from sfu.core.codecs import MediaKind
from sfu.core.ids import ParticipantSid, TrackId, TrackSid, WorkerId
from sfu.participants.info import Speaker
from sfu.participants.participant import Participant
from sfu.rooms.broadcast import Broadcast
from sfu.rooms.context import Directory
from sfu.rooms.speakers import SpeakerBoard
from sfu.tracks.track import Track

PRETENDED_LEVEL = 0.9
"""Of somebody who only pretends to speak."""


class Speaking:
    """What the workers hear, with those who only pretend."""

    def __init__(self, directory: Directory, broadcast: Broadcast) -> None:
        self._directory = directory
        self._broadcast = broadcast
        self._board = SpeakerBoard()
        self._pretending: dict[ParticipantSid, Speaker] = {}
        """Who tests what others see of a speaker."""

    def forget(self, member: Participant) -> None:
        """It is here no longer: it pretends nothing."""
        self._pretending.pop(member.sid, None)

    def report(self, worker: WorkerId, speakers: tuple[tuple[TrackId, int], ...]) -> None:
        """One worker says who speaks among its publishers."""
        if self._board.report(worker, speakers):
            self._announce()

    def silence(self, track: Track) -> None:
        """A muted track's owner does not speak, whatever its worker has yet to notice."""
        if self._board.remove(track.id):
            self._announce()

    def _announce(self) -> None:
        found: list[Speaker] = []
        for track_id, level in self._board.speakers:
            entry = self._directory.tracks.get(track_id)
            if entry is not None and not entry[1].info.muted:
                info = entry[1].info
                found.append(Speaker(info.participant, info.identity, info.sid, level))
        found += (
            item for sid, item in self._pretending.items() if sid not in {each.participant for each in found}
        )
        self._broadcast.speakers_changed(tuple(found))

    def pretend(self, member: Participant, speaks: bool) -> None:
        """Show somebody as a speaker, or no longer, whatever is heard of him."""
        if speaks and member.visible:
            track = next(
                (track.sid for track in member.tracks if track.kind is MediaKind.AUDIO), TrackSid("")
            )
            self._pretending[member.sid] = Speaker(member.sid, member.identity, track, PRETENDED_LEVEL)
        elif self._pretending.pop(member.sid, None) is None:
            return
        self._announce()
