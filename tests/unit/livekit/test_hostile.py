"""Whatever bytes a LiveKit client sends: it alone is concerned, and nothing breaks."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from livekit.protocol import models, rtc

from sfu.core.errors import InvalidRequestError
from signaling.livekit import parameters
from tests.support.domain import World, run
from tests.unit.livekit.support import Wire

NUMBERS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.one_of(st.sampled_from(["", "TR_x", "PA_x", "alice", "mic", "0"]), st.text(max_size=40))


def wrapped(raw: bytes, *, zipped: bool = False) -> str:
    names = rtc.WrappedJoinRequest.Compression
    message = rtc.WrappedJoinRequest(compression=names.GZIP if zipped else names.NONE, join_request=raw)
    return base64.urlsafe_b64encode(message.SerializeToString()).rstrip(b"=").decode()


class TestJoinRequest:
    REQUEST = rtc.JoinRequest(
        client_info=models.ClientInfo(sdk=models.ClientInfo.SDK.JS, version="2"), metadata="m" * 1000
    )

    def test_plain_and_compressed(self) -> None:
        raw = self.REQUEST.SerializeToString()
        assert parameters.decode_join_request(wrapped(raw)) == self.REQUEST
        assert parameters.decode_join_request(wrapped(gzip.compress(raw), zipped=True)) == self.REQUEST
        assert parameters.decode_join_request(wrapped(raw) + "==") == self.REQUEST

    def test_a_bomb_is_not_unpacked(self) -> None:
        bomb = gzip.compress(bytes(50_000_000))
        with pytest.raises(InvalidRequestError, match="too long"):
            parameters.decode_join_request(wrapped(bomb, zipped=True))

    @pytest.mark.parametrize("cut", [1, 10, 40])
    def test_cut_off(self, cut: int) -> None:
        raw = gzip.compress(self.REQUEST.SerializeToString())
        with pytest.raises(InvalidRequestError):
            parameters.decode_join_request(wrapped(raw[:-cut], zipped=True))

    def test_crowded_attributes_are_not_built(self) -> None:
        many = "{" + ",".join(f'"{number}":""' for number in range(20_000)) + "}"
        with pytest.raises(InvalidRequestError, match="attributes"):
            parameters.from_query({"attributes": base64.urlsafe_b64encode(many.encode()).decode()}, "")

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        try:
            parameters.from_join_request(text, "")
        except InvalidRequestError:
            return

    @given(st.dictionaries(st.sampled_from(["attributes", "sid", "client_protocol", "reconnect"]), TEXTS))
    def test_any_query(self, query: dict[str, str]) -> None:
        try:
            parameters.from_query(query, "")
        except InvalidRequestError:
            return


REQUESTS = st.one_of(
    st.builds(lambda sdp, id_: {"offer": rtc.SessionDescription(sdp=sdp, id=abs(id_))}, TEXTS, NUMBERS),
    st.builds(lambda sdp, id_: {"answer": rtc.SessionDescription(sdp=sdp, id=abs(id_))}, TEXTS, NUMBERS),
    st.builds(
        lambda cid, kind, source, sid: {
            "add_track": rtc.AddTrackRequest(cid=cid, type=kind, source=source, sid=sid)
        },
        TEXTS,
        NUMBERS,
        NUMBERS,
        TEXTS,
    ),
    st.builds(lambda sid, muted: {"mute": rtc.MuteTrackRequest(sid=sid, muted=muted)}, TEXTS, st.booleans()),
    st.builds(
        lambda sids, on: {"subscription": rtc.UpdateSubscription(track_sids=sids, subscribe=on)},
        st.lists(TEXTS, max_size=5),
        st.booleans(),
    ),
    st.builds(
        lambda sids, quality, size: {
            "track_setting": rtc.UpdateTrackSettings(
                track_sids=sids,
                quality=quality,
                width=abs(size),
                height=abs(size),
                fps=abs(size),
                priority=abs(size),
            )
        },
        st.lists(TEXTS, max_size=5),
        NUMBERS,
        NUMBERS,
    ),
    st.builds(
        lambda name, attributes: {
            "update_metadata": rtc.UpdateParticipantMetadata(name=name, attributes=attributes)
        },
        TEXTS,
        st.dictionaries(TEXTS, TEXTS, max_size=3),
    ),
    st.builds(
        lambda sid, size: {
            "update_video_track": rtc.UpdateLocalVideoTrack(track_sid=sid, width=abs(size), height=abs(size))
        },
        TEXTS,
        NUMBERS,
    ),
    st.builds(
        lambda sids: {"sync_state": rtc.SyncState(track_sids_disabled=sids)}, st.lists(TEXTS, max_size=5)
    ),
    st.builds(lambda text: {"trickle": rtc.TrickleRequest(candidateInit=text)}, TEXTS),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, max_size=8))
def test_any_requests_in_any_order(requests: list[dict[str, object]]) -> None:
    world = World()
    alice, bob = Wire(world, "alice", can_update_own_metadata=True).join(), Wire(world, "bob").join()
    track = bob.publish()
    for request in requests:
        alice.ask(**request)
    assert bob.closed is None
    assert [item.sid for item in world.service.get_participant(world.room, bob.token.identity).tracks] == [
        track.sid
    ]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=120), max_size=10))
def test_any_bytes(frames: list[bytes]) -> None:
    world = World()
    alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
    for frame in frames:
        run(alice.dialect.handle_frame(frame))
        world.settle()
    assert bob.closed is None


def test_anothers_track_cannot_be_touched() -> None:
    world = World()
    alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
    track = bob.publish()
    alice.ask(mute=rtc.MuteTrackRequest(sid=track.sid, muted=True))
    assert alice.last("request_response").reason == rtc.RequestResponse.Reason.NOT_FOUND
    (seen,) = world.service.get_participant(world.room, bob.token.identity).tracks
    assert not seen.muted


def test_metadata_beyond_the_limit() -> None:
    world = World()
    alice = Wire(world, "alice", can_update_own_metadata=True).join()
    big = rtc.UpdateParticipantMetadata(metadata="x" * 600_000, request_id=1)
    alice.ask(update_metadata=big)
    assert alice.last("request_response").reason == rtc.RequestResponse.Reason.LIMIT_EXCEEDED
