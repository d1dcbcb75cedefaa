"""A LiveKit client's conversation, both ways of connecting."""

from __future__ import annotations

import base64
import json

import pytest
from livekit.protocol import models, rtc

from sfu.core.errors import AirsideError
from sfu.core.ids import RoomName
from sfu.participants.requests import RoomOptions
from sfu.participants.sink import MediaStateChanged
from tests.support.domain import World
from tests.unit.livekit.support import Wire, directions
from tests.unit.transport.support import audio, data


@pytest.fixture
def world() -> World:
    return World()


class TestJoin:
    def test_single(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        assert alice.kinds[:2] == ["join", "answer"]
        join, answer = alice.last("join"), alice.last("answer")
        assert join.participant.sid.startswith("PA_")
        assert join.room.sid.startswith("RM_")
        assert (join.ping_interval, join.ping_timeout) == (5, 15)
        assert join.server_info.version
        assert not join.subscriber_primary
        assert answer.id == 7
        assert directions(answer.sdp) == ["inactive"] * 6 + [""]
        assert alice.last("refresh_token")

    def test_dual(self, world: World) -> None:
        alice = Wire(world, "alice", single=False).join()
        assert alice.kinds[0] == "join"
        assert alice.last("join").subscriber_primary
        offer = alice.last("offer")
        assert offer.id == 1
        assert directions(offer.sdp) == [""], "the data channels alone"

    def test_what_is_there_is_in_the_answer(self, world: World) -> None:
        track = Wire(world, "alice").join().publish()
        bob = Wire(world, "bob").join()
        assert [item.identity for item in bob.last("join").other_participants] == ["alice"]
        answer = bob.last("answer")
        ((mid, sid),) = answer.mid_to_track_id.items()
        assert sid == track.sid
        assert directions(answer.sdp)[int(mid)] == "sendonly"
        sender = bob.last("join").other_participants[0].sid
        assert f"a=msid:{sender}|{sid} {sid}" in answer.sdp
        assert "media_sections_requirement" not in bob.kinds

    def test_a_room_that_wants_streams_in_sync(self, world: World) -> None:
        world.service.create_room(world.room, RoomOptions(sync_streams=True))
        track = Wire(world, "alice").join().publish()
        bob = Wire(world, "bob").join()
        sender = bob.last("join").other_participants[0].sid
        assert f"a=msid:{sender}|camera {track.sid}" in bob.last("answer").sdp

    def test_a_section_without_a_common_codec_is_refused_by_itself(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        alice.declare("odd")
        odd = audio("7", "a=msid:- odd", direction="sendonly").replace("opus/48000/2", "G729/8000")
        alice.sections.append(odd)
        alice.offer()
        assert "leave" not in alice.kinds
        track = alice.publish("mic")
        seen = [
            item.sid for update in bob.all("update") for one in update.participants for item in one.tracks
        ]
        assert seen == [track.sid]

    def test_who_never_comes_up_has_failed_to_join(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        world.settle(world.settings.session.connect_timeout_s)
        assert alice.last("leave").reason == models.DisconnectReason.JOIN_FAILURE
        assert alice.last("leave").action == rtc.LeaveRequest.Action.RECONNECT
        (gone,) = bob.last("update").participants
        assert (gone.identity, gone.disconnect_reason) == ("alice", models.DisconnectReason.JOIN_FAILURE)

    def test_refusals_come_before_anything_is_sent(self, world: World) -> None:
        eve = Wire(world, "eve", room_join=False)
        with pytest.raises(AirsideError):
            eve.join()
        assert eve.frames == []


class TestPublish:
    def test_declared_then_offered(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        track = alice.publish()
        assert (track.sid[:3], track.source, track.muted) == ("TR_", models.TrackSource.MICROPHONE, False)
        (seen,) = [item for item in bob.last("update").participants if item.identity == "alice"]
        assert [item.sid for item in seen.tracks] == [track.sid]
        assert seen.tracks[0].mime_type == "audio/opus"
        assert alice.all("track_subscribed")

    def test_the_receiver_is_asked_to_offer_and_then_told(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        track = alice.publish()
        assert bob.kinds.index("update") < bob.kinds.index("media_sections_requirement")
        assert list(bob.offer().mid_to_track_id.values()) == [track.sid]
        before = len(bob.all("media_sections_requirement"))
        bob.offer()
        assert len(bob.all("media_sections_requirement")) == before, "nothing new, nothing asked"

    def test_more_sections_are_asked_for(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join(receive=1)
        alice.publish("one")
        alice.publish("two")
        need = bob.last("media_sections_requirement")
        assert (need.num_audios, need.num_videos) == (1, 0)

    def test_an_offer_before_its_declaration(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        alice.sections.append(audio("7", "a=msid:- mic", direction="sendonly"))
        assert directions(alice.offer().sdp)[7] == "recvonly"
        alice.declare()
        sid = alice.last("track_published").track.sid
        assert sid in [track.sid for item in bob.last("update").participants for track in item.tracks]

    @pytest.mark.parametrize("direction", ["inactive", "recvonly"])
    def test_unpublished_by_direction(self, world: World, direction: str) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        alice.publish()
        bob.offer()
        alice.sections[-1] = alice.sections[-1].replace("a=sendonly", f"a={direction}")
        alice.offer()
        assert all(not item.tracks for item in bob.last("update").participants)
        answer = bob.offer()
        assert not answer.mid_to_track_id
        assert directions(answer.sdp)[0] == "inactive"

    def test_a_section_used_again_has_another_ssrc(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join(receive=1)
        ssrcs = []
        for number in range(3):
            alice.publish(f"mic{number}")
            answer = bob.offer()
            assert list(answer.mid_to_track_id) == ["0"]
            ssrcs.append([line for line in answer.sdp.splitlines() if line.startswith("a=ssrc:")])
            alice.sections[-1] = alice.sections[-1].replace("a=sendonly", "a=inactive")
            alice.offer()
            bob.offer()
        assert len({tuple(lines) for lines in ssrcs}) == 3

    @pytest.mark.parametrize(
        ("dtx", "stereo", "asked"),
        [
            (True, False, "minptime=10;useinbandfec=1;usedtx=1"),
            (False, False, "minptime=10;useinbandfec=1"),
            (False, True, "minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=510000"),
        ],
    )
    def test_sound_is_asked_for_as_it_was_declared(
        self, world: World, dtx: bool, stereo: bool, asked: str
    ) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob", single=False).join()
        kind, source = models.TrackType.AUDIO, models.TrackSource.MICROPHONE
        request = rtc.AddTrackRequest(cid="mic", type=kind, source=source, disable_dtx=not dtx, stereo=stereo)
        alice.ask(add_track=request)
        alice.sections.append(audio("7", "a=msid:- mic", direction="sendonly"))
        for _ in range(2):
            sections = alice.offer().sdp.split("m=audio")
            assert f"a=fmtp:111 {asked}\r\n" in sections[-1]
            assert all("usedtx" not in section for section in sections[:-1])
        sdp = bob.last("offer").sdp
        answer = sdp.replace("a=setup:actpass", "a=setup:active").replace("a=sendonly", "a=recvonly")
        bob.ask(answer=rtc.SessionDescription(type="answer", sdp=answer, id=bob.last("offer").id))
        assert ("sprop-stereo=1" in bob.last("offer").sdp) == stereo

    def test_what_the_token_forbids(self, world: World) -> None:
        alice = Wire(world, "alice", can_publish=False).join()
        alice.declare()
        refusal = alice.last("request_response")
        assert refusal.reason == rtc.RequestResponse.Reason.NOT_ALLOWED
        assert refusal.add_track.cid == "mic"

    def test_pending_tracks_are_limited(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        for number in range(21):
            alice.declare(f"mic{number}")
        assert len(alice.all("track_published")) == 20
        assert alice.last("request_response").reason == rtc.RequestResponse.Reason.LIMIT_EXCEEDED


class TestSubscribe:
    def test_wish_for_a_track_that_is_not_there(self, world: World) -> None:
        bob = Wire(world, "bob").join(auto_subscribe=False)
        bob.ask(subscription=rtc.UpdateSubscription(track_sids=["TR_later"], subscribe=True))
        world.settle(15)
        answer = bob.last("subscription_response")
        assert (answer.track_sid, answer.err) == ("TR_later", models.SubscriptionError.SE_TRACK_NOTFOUND)

    def test_by_hand(self, world: World) -> None:
        track = Wire(world, "alice").join().publish()
        bob = Wire(world, "bob").join(auto_subscribe=False)
        assert not bob.last("answer").mid_to_track_id
        twice = rtc.UpdateSubscription(
            track_sids=[track.sid],
            subscribe=True,
            participant_tracks=[models.ParticipantTracks(track_sids=[track.sid])],
        )
        bob.ask(subscription=twice)
        assert list(bob.offer().mid_to_track_id.values()) == [track.sid]
        bob.ask(subscription=rtc.UpdateSubscription(track_sids=[track.sid], subscribe=False))
        assert not bob.offer().mid_to_track_id

    def test_the_publisher_chooses_its_audience(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        track = alice.publish()
        alice.ask(subscription_permission=rtc.SubscriptionPermission(all_participants=False))
        access = bob.last("subscription_permission_update")
        assert (access.track_sid, access.allowed) == (track.sid, False)
        assert not bob.offer().mid_to_track_id
        named = rtc.TrackPermission(participant_identity="bob", all_tracks=True)
        alice.ask(subscription_permission=rtc.SubscriptionPermission(track_permissions=[named]))
        assert bob.last("subscription_permission_update").allowed
        assert list(bob.offer().mid_to_track_id.values()) == [track.sid]

    def test_dual_mode_brings_a_track_by_one_offer(self, world: World) -> None:
        bob = Wire(world, "bob", single=False).join()
        offers = len(bob.all("offer"))
        assert offers == 1
        Wire(world, "alice").join().publish()
        assert len(bob.all("offer")) == offers, "the first one waits for its answer"


class TestRequests:
    def test_pings(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        alice.ask(ping=5).ask(ping_req=rtc.Ping(timestamp=42))
        assert alice.last("pong") > 0
        assert alice.last("pong_resp").last_ping_timestamp == 42

    def test_metadata_is_answered_after_the_change_is_shown(self, world: World) -> None:
        alice = Wire(world, "alice", can_update_own_metadata=True).join()
        alice.frames.clear()
        change = rtc.UpdateParticipantMetadata(name="Al", attributes={"a": "1"}, request_id=3)
        alice.ask(update_metadata=change)
        assert alice.kinds[:2] == ["update", "request_response"]
        assert alice.last("request_response").request_id == 3
        assert alice.all("update")[0].participants[0].name == "Al"
        assert "refresh_token" in alice.kinds

    def test_metadata_needs_a_grant(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        alice.ask(update_metadata=rtc.UpdateParticipantMetadata(name="x", request_id=9))
        refusal = alice.last("request_response")
        assert (refusal.request_id, refusal.reason) == (9, rtc.RequestResponse.Reason.NOT_ALLOWED)

    def test_leave(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        alice.ask(leave=rtc.LeaveRequest())
        assert alice.closed is not None
        assert alice.closed[0] == 1000
        gone = bob.last("update").participants[0]
        assert gone.state == models.ParticipantInfo.State.DISCONNECTED
        assert gone.disconnect_reason == models.DisconnectReason.CLIENT_INITIATED

    def test_an_offer_that_cannot_be_agreed_to_begins_anew(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        alice.ask(offer=rtc.SessionDescription(type="offer", sdp="v=0\nnonsense", id=9))
        assert alice.last("leave").action == rtc.LeaveRequest.Action.RECONNECT
        assert alice.closed is not None

    def test_hidden_participants_see_their_own_changes(self, world: World) -> None:
        bob = Wire(world, "bob").join()
        eve = Wire(world, "eve", hidden=True, can_update_own_metadata=True).join()
        eve.ask(update_metadata=rtc.UpdateParticipantMetadata(name="E", request_id=1))
        assert eve.last("update").participants[0].name == "E"
        seen = [item.identity for update in bob.all("update") for item in update.participants]
        assert "eve" not in seen


class TestResume:
    def resume(self, world: World, wire: Wire, sid: str) -> Wire:
        again = Wire(world, str(wire.token.identity), single=wire.single)
        again.sections = list(wire.sections)
        return again.enter(resume=True, participant=sid)

    @pytest.mark.parametrize("single", [True, False])
    def test_everything_is_shown_again(self, world: World, single: bool) -> None:
        alice = Wire(world, "alice", single=single).join()
        bob, eve = Wire(world, "bob").join(), Wire(world, "eve").join()
        alice.dialect.handle_disconnect()
        eve.ask(leave=rtc.LeaveRequest())
        again = self.resume(world, alice, alice.last("join").participant.sid)
        assert again.kinds[0] == "reconnect"
        states = {item.identity: item.state for update in again.all("update") for item in update.participants}
        assert states["eve"] == models.ParticipantInfo.State.DISCONNECTED
        assert {"alice", "bob"} <= states.keys()
        assert "room_update" in again.kinds
        assert ("offer" in again.kinds) != single
        assert bob.closed is None

    @pytest.mark.parametrize("single", [True, False])
    def test_a_client_that_counts_its_messages_is_told_the_last_that_came(
        self, world: World, single: bool
    ) -> None:
        alice = Wire(world, "alice", single=single).join()
        if not single:
            alice.sections.append(data("0"))
            alice.offer()
        (uplink,) = (item.uplink or item.transport for item in world.plane.members.values())
        world.plane.received[uplink] = 12
        again = self.resume(world, alice, alice.last("join").participant.sid)
        assert again.last("reconnect").last_message_seq == 12

    def test_a_trial_cuts_one_resume(self, world: World) -> None:
        trials: list[tuple[rtc.SimulateScenario, list[str]]] = [
            (rtc.SimulateScenario(disconnect_signal_on_resume=True), ["reconnect"]),
            (rtc.SimulateScenario(disconnect_signal_on_resume_no_messages=True), []),
        ]
        for scenario, told in trials:
            alice = Wire(world, "alice").join()
            sid = alice.last("join").participant.sid
            alice.ask(simulate=scenario)
            cut = self.resume(world, alice, sid)
            assert cut.closed is not None
            kinds = [kind for kind in cut.kinds if kind != "refresh_token"]
            assert kinds[: len(told) + 1] == told, "nothing comes after it but what nobody sends any more"
            cut.dialect.handle_disconnect()
            again = self.resume(world, alice, sid)
            assert again.closed is None
            assert again.kinds[0] == "reconnect"

    def test_another_ones_session(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        thief = Wire(world, "mallory").enter(resume=True, participant=alice.last("join").participant.sid)
        assert thief.kinds == ["leave"]
        assert thief.last("leave").action == rtc.LeaveRequest.Action.RECONNECT
        assert alice.closed is None

    def test_a_track_that_is_not_known_begins_anew(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        track = rtc.TrackPublishedResponse(cid="x", track=models.TrackInfo(sid="TR_none"))
        alice.ask(sync_state=rtc.SyncState(publish_tracks=[track]))
        assert alice.last("leave").action == rtc.LeaveRequest.Action.RECONNECT

    def test_a_silent_media_path_is_given_up(self, world: World) -> None:
        alice = Wire(world, "alice").join()
        alice.dialect.send(1, MediaStateChanged("disconnected"))
        world.settle(2)
        alice.dialect.send(2, MediaStateChanged("connected"))
        world.settle(10)
        assert alice.closed is None, "it came back by itself"
        alice.dialect.send(3, MediaStateChanged("disconnected"))
        world.settle(6)
        assert alice.closed is not None, "so that the client resumes"


class TestMoved:
    def test_everything_around_it_is_new(self, world: World) -> None:
        alice, bob = Wire(world, "alice").join(), Wire(world, "bob").join()
        track = alice.publish()
        world.service.move_participant(world.room, alice.token.identity, RoomName("side"))
        world.settle()
        moved = alice.last("room_moved")
        assert (moved.room.name, moved.participant.identity) == ("side", "alice")
        assert [item.sid for item in moved.participant.tracks] == [track.sid]
        assert not moved.other_participants
        claims = json.loads(base64.urlsafe_b64decode(moved.token.split(".")[1] + "=="))
        assert claims["video"]["room"] == "side"
        assert alice.last("refresh_token") == moved.token
        gone = bob.last("update").participants[0]
        assert gone.state == models.ParticipantInfo.State.DISCONNECTED
        assert gone.disconnect_reason == models.DisconnectReason.MIGRATION
        again = Wire(world, "alice", room=RoomName("side")).enter(
            resume=True, participant=moved.participant.sid
        )
        assert again.kinds[0] == "reconnect"
