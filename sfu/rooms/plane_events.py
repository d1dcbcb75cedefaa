"""News from the packet plane, turned into changes of rooms."""

from __future__ import annotations

import logging

from sfu.core.observer import JoinStep
from sfu.dataplane.events import (
    CloseReason,
    CommandFailed,
    Data,
    DataReady,
    Event,
    LayerStarted,
    LayerStopped,
    Quality,
    SlotAllocation,
    SlotLayer,
    Speakers,
    Speech,
    TransportState,
    TransportStateChanged,
    WantedLayers,
)
from sfu.participants.connection import Connection
from sfu.participants.happenings import Kind
from sfu.participants.lifecycle import Signal
from sfu.participants.participant import Participant
from sfu.participants.sink import LeaveCode, MediaStateChanged, Reconnect
from sfu.rooms import conversation, publications, quality, tracing
from sfu.rooms.context import Context, Seat
from sfu.rooms.room import Room
from sfu.transport import lifecycle as transport

CLOSE_CODES = {
    CloseReason.PEER_CLOSED: (LeaveCode.MEDIA_CLOSED, "the client closed its peer connection"),
    CloseReason.CONSENT_EXPIRED: (LeaveCode.MEDIA_LOST, "nothing was heard from the client for 30 s"),
    CloseReason.DATA_BACKPRESSURE: (LeaveCode.MEDIA_LOST, "the client read its data channel too slowly"),
    CloseReason.HANDSHAKE_TIMEOUT: (LeaveCode.MEDIA_FAILED, "the DTLS handshake was not finished in time"),
    CloseReason.FINGERPRINT_MISMATCH: (
        LeaveCode.MEDIA_FAILED,
        "the client's certificate is not the one in its description",
    ),
    CloseReason.INTERNAL: (LeaveCode.INTERNAL, "the server lost this transport"),
    CloseReason.REMOVED: (LeaveCode.INTERNAL, "the server removed this transport"),
    CloseReason.NONE: (LeaveCode.INTERNAL, "the transport closed"),
}


SIGNALS = {
    TransportState.ICE_CONNECTED: transport.Signal.CHECKED,
    TransportState.CONNECTED: transport.Signal.SECURED,
    TransportState.DISCONNECTED: transport.Signal.CONSENT_LOST,
}
MEDIA_STATES = {
    transport.State.CONNECTING: "connecting",
    transport.State.CONNECTED: "connected",
    transport.State.LOST: "disconnected",
}

log = logging.getLogger(__name__)


class PlaneEvents:
    """Handles one event at a time. What is about somebody who has left is passed over."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._directory = context.directory

    def handle(self, event: Event) -> None:
        """Act on one event."""
        match event:
            case TransportStateChanged():
                seat = self._directory.transports.get(event.transport)
                if seat is not None:
                    self._transport(seat, event)
            case LayerStarted():
                entry = self._directory.tracks.get(event.track)
                if entry is not None:
                    seat, track = entry
                    tracing.first_media(self._context, seat.participant)
                    publications.layer_changed(
                        seat.room, seat.participant, track, event.layer, True, event.codec
                    )
            case LayerStopped():
                entry = self._directory.tracks.get(event.track)
                if entry is not None:
                    seat, track = entry
                    publications.layer_changed(
                        seat.room, seat.participant, track, event.layer, False, track.sent
                    )
            case SlotLayer():
                member = self._directory.slots.get(event.slot)
                if member is not None and event.slot in member.subscriber.applied:
                    member.subscriber.layers[event.slot] = event.layer
                    if event.layer is not None:
                        tracing.first_media(self._context, member)
            case SlotAllocation():
                member = self._directory.slots.get(event.slot)
                if member is not None and event.slot in member.subscriber.applied:
                    session = self._directory.sessions.get(member.session_id)
                    if session is not None:
                        quality.allocation_changed(session.room, member, event)
            case WantedLayers():
                entry = self._directory.tracks.get(event.track)
                if entry is not None:
                    seat, track = entry
                    quality.layers_wanted(seat.room, seat.participant, track, event)
            case Quality():
                seat = self._directory.transports.get(event.transport)
                if seat is not None and seat.participant.present:
                    quality.connection_reported(seat.room, seat.participant, event)
            case Speakers():
                room = self._directory.rooms.get(event.room)
                if room is not None:
                    room.speaking.report(event.worker, event.speakers)
            case Speech():
                entry = self._directory.tracks.get(event.track)
                if entry is not None:
                    seat, track = entry
                    conversation.spoke(seat.room, seat.participant, track, event.speaking, event.ago_s)
            case DataReady():
                seat = self._directory.transports.get(event.transport)
                if seat is not None:
                    receiving = seat.participant.receiving
                    if receiving is not None and receiving.transport == event.transport:
                        seat.participant.data_ready = True
            case Data():
                mailbox = self._directory.mailboxes.get(event.topic)
                if mailbox is not None:
                    mailbox.deliver(event.transport, event.payload)
            case CommandFailed():
                self._context.observer.command_failed(event.command)
                log.warning("the packet plane refused %s of %d: %s", event.command, event.id, event.reason)
            case _:
                # Resync and figures are read by whoever subscribes to them.
                return

    def _transport(self, seat: Seat, event: TransportStateChanged) -> None:
        room, member = seat.room, seat.participant
        if event.state is TransportState.CLOSED:
            del self._directory.transports[event.transport]
            if member.present:
                code, text = CLOSE_CODES[event.reason]
                # Whoever closed it, or hears from us that it is closed, may be back in a moment.
                may_return = event.reason is CloseReason.PEER_CLOSED or member.outbox.attached
                room.remove(member, code, text, Reconnect.REJOIN, may_return=may_return)
            elif not any(item.transport in self._directory.transports for item in member.connections):
                member.lifecycle.handle(Signal.RELEASED)
            return
        connection = member.connection_of(event.transport)
        if member.present and connection is not None:
            self._progress(room, member, connection, event.state)

    def _progress(
        self, room: Room, member: Participant, connection: Connection, state: TransportState
    ) -> None:
        primary = connection is member.receiving
        if not primary:
            # What it sends by comes up when it begins to; the rest has been told.
            connection.peer.lifecycle.handle(SIGNALS[state])
            return
        if state is TransportState.ICE_CONNECTED:
            tracing.step(self._context, member, JoinStep.ICE)
        elif state is TransportState.CONNECTED:
            if member.connect_timer is not None:
                member.connect_timer.cancel()
                member.connect_timer = None
            tracing.step(self._context, member, JoinStep.DTLS)
            if member.lifecycle.handle(Signal.CONNECTED):
                room.changed(member)
                room.note(Kind.PARTICIPANT_JOINED, member)
        if connection.peer.lifecycle.handle(SIGNALS[state]):
            now = MEDIA_STATES[connection.peer.lifecycle.state]
            room.broadcast.tell(member, MediaStateChanged(now))
