"""Who is in the room with which tracks: the server's pictures applied to the handles, as events."""

from __future__ import annotations

from collections.abc import Callable

from sfu.agents import events
from sfu.agents.tracks import Participant, RemoteTrack, RoomControl
from signaling.native.messages import Participants, State
from signaling.native.values import ParticipantInfo


class Roster:
    """Everyone else in the room. Pictures are whole, and may come twice or late (PROTOCOL.md section 7)."""

    def __init__(self, control: RoomControl, emit: Callable[[events.RoomEvent], None]) -> None:
        self.own_id = ""
        self.participants: dict[str, Participant] = {}
        """By identity."""
        self.tracks: dict[str, RemoteTrack] = {}
        """By track id."""
        self.by_mid: dict[str, RemoteTrack] = {}
        self._control = control
        self._emit = emit

    def replace(self, state: State) -> None:
        """Everything is as in `state`; what is not in it is gone."""
        self.own_id = state.participant.id
        known = {info.id for info in state.participants}
        for participant in [one for one in self.participants.values() if one.id not in known]:
            self._leave(participant, "signal_lost")
        for info in state.participants:
            self.show(info)
        bound = {binding.track_id: binding.mid for binding in state.subscriptions}
        for track in list(self.by_mid.values()):
            if bound.get(track.id) != track.mid:
                self.unbind(track.id)
        for track_id, mid in bound.items():
            self.bind(track_id, mid)

    def apply(self, change: Participants) -> None:
        """Apply one coalesced change."""
        for departure in change.left:
            participant = self.participants.get(departure.identity)
            if participant is not None and participant.id == departure.id:
                self._leave(participant, departure.reason)
        for info in (*change.joined, *change.updated):
            self.show(info)

    def show(self, info: ParticipantInfo) -> None:
        """The newest picture of somebody."""
        if info.id == self.own_id:
            return
        participant = self.participants.get(info.identity)
        if participant is not None and participant.id != info.id:
            # The identity is back with a new session, and the old one's departure comes later or was missed.
            self._leave(participant, "duplicate_identity")
            participant = None
        if participant is None:
            participant = self.participants[info.identity] = Participant(info)
            self._emit(events.ParticipantJoined(participant))
        elif info.version < participant.info.version:
            return
        else:
            before, participant.info = participant.info, info
            if before.model_copy(update={"tracks": (), "version": 0}) != info.model_copy(
                update={"tracks": (), "version": 0}
            ):
                self._emit(events.ParticipantUpdated(participant))
        self._show_tracks(participant, info)

    def _show_tracks(self, participant: Participant, info: ParticipantInfo) -> None:
        published = {track.id: track for track in info.tracks}
        for track in [one for one in participant.tracks.values() if one.id not in published]:
            self._unpublish(track)
        for track_info in info.tracks:
            known = participant.tracks.get(track_info.id)
            if known is None:
                track = RemoteTrack(self._control, participant, track_info)
                participant.tracks[track.id] = self.tracks[track.id] = track
                self._emit(events.TrackPublished(track))
            else:
                was_muted, known.info = known.muted, track_info
                if was_muted != known.muted:
                    self._emit(events.TrackMuted(known))

    def bind(self, track_id: str, mid: str) -> None:
        """The track arrives in this section from now on."""
        track = self.tracks.get(track_id)
        if track is None or track.mid == mid:
            return
        before = self.by_mid.get(mid)
        if before is not None:
            self.unbind(before.id)
        if track.mid is not None:
            self.by_mid.pop(track.mid, None)
        track.mid = mid
        self.by_mid[mid] = track
        self._emit(events.TrackSubscribed(track))

    def unbind(self, track_id: str) -> None:
        """The track arrives no more."""
        track = self.tracks.get(track_id)
        if track is not None and track.mid is not None:
            self.by_mid.pop(track.mid, None)
            track.mid = None
            self._emit(events.TrackUnsubscribed(track))

    def end(self) -> None:
        """The session is over: readers of every track stop."""
        for track in self.tracks.values():
            track.end()
        self.by_mid.clear()

    def _unpublish(self, track: RemoteTrack) -> None:
        self.unbind(track.id)
        self.tracks.pop(track.id, None)
        track.participant.tracks.pop(track.id, None)
        track.end()
        self._emit(events.TrackUnpublished(track))

    def _leave(self, participant: Participant, reason: str) -> None:
        for track in list(participant.tracks.values()):
            self._unpublish(track)
        del self.participants[participant.identity]
        self._emit(events.ParticipantLeft(participant, reason))
