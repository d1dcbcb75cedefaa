"""A second codec for who cannot decode the first: announced with the track, asked for, attached to it."""

from __future__ import annotations

import pytest
from livekit.protocol import models, rtc

from sfu.core.ids import WorkerId
from sfu.dataplane.commands import SetTrackMuted
from sfu.dataplane.events import LayerStarted, WantedLayers
from tests.support.domain import World
from tests.unit.livekit.support import Wire
from tests.unit.transport.support import video

VP9 = ("a=rtpmap:98 VP9/90000", "a=fmtp:98 profile-id=0")
VIDEO, CAMERA = models.TrackType.VIDEO, models.TrackSource.CAMERA


def send(client: Wire, cid: str) -> None:
    """A section that could send either codec."""
    lines = (f"a=msid:- {cid}", *VP9)
    mid = str(len(client.sections))
    client.sections.append(video(mid, *lines, direction="sendonly", formats="96 97 98"))
    client.offer()


def publish(alice: Wire, policy: models.BackupCodecPolicy | None = None) -> models.TrackInfo:
    """A camera in VP9 that could come in VP8 too."""
    codecs = [rtc.SimulcastCodec(codec="vp9", cid="cam"), rtc.SimulcastCodec(codec="vp8")]
    request = rtc.AddTrackRequest(
        cid="cam", type=VIDEO, source=CAMERA, simulcast_codecs=codecs, backup_codec_policy=policy
    )
    alice.ask(add_track=request)
    send(alice, "cam")
    alice.world.settle()
    info: models.TrackInfo = alice.last("track_published").track
    return info


def back_up(alice: Wire, sid: str, cid: str = "cam8") -> None:
    """Do what the server asked for."""
    codecs = [rtc.SimulcastCodec(codec="vp8", cid=cid)]
    alice.ask(
        add_track=rtc.AddTrackRequest(cid=cid, sid=sid, type=VIDEO, source=CAMERA, simulcast_codecs=codecs)
    )
    send(alice, cid)


@pytest.fixture
def alice() -> Wire:
    return Wire(World(), "alice").join()


@pytest.fixture
def track(alice: Wire) -> models.TrackInfo:
    return publish(alice)


def carried(world: World) -> list[str]:
    """Mime types on all slots."""
    tracks = (world.plane.tracks[track] for track, _ in world.plane.carries.values())
    return [item.codecs[0].codec.mime for item in tracks]


def test_the_declared_codec_is_answered_first(alice: Wire, track: models.TrackInfo) -> None:
    section = alice.last("answer").sdp.split("m=video")[-1]
    assert section.split("\r\n")[0].endswith("98 96 97")
    send(alice, "other")  # a later offer changes nothing about it
    section = alice.last("answer").sdp.split("m=video")[-2]
    assert section.split("\r\n")[0].endswith("98 96 97")


def test_it_is_sent_once_somebody_needs_it(alice: Wire, track: models.TrackInfo) -> None:
    assert [codec.mime_type.lower() for codec in track.codecs] == ["video/vp9", "video/vp8"]
    assert not alice.all("subscribed_quality_update")
    bob = Wire(alice.world, "bob").join()  # VP8 is all it knows
    update = alice.last("subscribed_quality_update")
    (codec,) = update.subscribed_codecs
    assert (update.track_sid, codec.codec) == (track.sid, "vp8")
    assert all(item.enabled for item in codec.qualities)
    assert not bob.all("subscription_response"), "it waits; nothing has failed"

    back_up(alice, track.sid)
    answer = alice.last("track_published")
    assert (answer.cid, answer.track.sid) == ("cam8", track.sid)
    assert carried(alice.world) == ["video/VP8"]
    eve = Wire(alice.world, "eve").join()
    (info,) = (item for person in eve.last("join").other_participants for item in person.tracks)
    assert info.sid == track.sid
    assert [codec.cid for codec in info.codecs] == ["cam", "cam8"]


@pytest.mark.parametrize(
    ("policy", "after"),
    [
        (models.BackupCodecPolicy.SIMULCAST, ["video/VP8", "video/VP9"]),
        (models.BackupCodecPolicy.PREFER_REGRESSION, ["video/VP8", "video/VP8"]),
        (models.BackupCodecPolicy.REGRESSION, ["video/VP8", "video/VP8"]),
    ],
)
def test_everybody_gets_it_where_its_publisher_wants_that(
    alice: Wire, policy: models.BackupCodecPolicy, after: list[str]
) -> None:
    world = alice.world
    track = publish(alice, policy)
    carol = Wire(world, "carol")
    carol.sections.append(video("0", *VP9, formats="96 97 98"))
    carol.join(receive=0)
    assert carried(world) == ["video/VP9"]
    Wire(world, "bob").join()
    back_up(alice, track.sid)
    assert sorted(carried(world)) == ["video/VP8", "video/VP9"], "none of it has come yet"
    first, second = sorted(world.plane.tracks)
    world.plane.emit(LayerStarted(WorkerId(0), second, 0, 0))
    world.settle()
    assert sorted(carried(world)) == after

    # What the plane says when nobody takes the first codec, and what its publisher hears of it.
    world.plane.emit(WantedLayers(WorkerId(0), first, None))
    world.settle()
    (codec,) = alice.last("subscribed_quality_update").subscribed_codecs
    assert (codec.codec, any(item.enabled for item in codec.qualities)) == ("vp9", False)

    alice.sections[-1] = alice.sections[-1].replace("sendonly", "inactive")
    alice.offer()
    assert carried(world) == ["video/VP9"], "it has ended"


def test_it_is_muted_with_its_track_and_ends_with_it(alice: Wire, track: models.TrackInfo) -> None:
    bob = Wire(alice.world, "bob").join()
    back_up(alice, track.sid)
    alice.ask(mute=rtc.MuteTrackRequest(sid=track.sid, muted=True))
    muted = {command.track for command in alice.world.plane.sent(SetTrackMuted) if command.muted}
    assert muted == alice.world.plane.tracks.keys()
    assert len(muted) == 2
    alice.sections[-2:] = [section.replace("sendonly", "inactive") for section in alice.sections[-2:]]
    alice.offer()
    assert alice.world.plane.tracks == {}
    assert alice.world.plane.carries == {}
    assert not bob.last("update").participants[-1].tracks


def test_it_may_end_alone_and_come_again(alice: Wire, track: models.TrackInfo) -> None:
    Wire(alice.world, "bob").join()
    back_up(alice, track.sid)
    alice.sections[-1] = alice.sections[-1].replace("sendonly", "inactive")
    alice.offer()
    assert len(alice.world.plane.tracks) == 1
    assert carried(alice.world) == []
    assert len(alice.all("subscribed_quality_update")) == 2, "asked for again"
    back_up(alice, track.sid, "again")
    assert carried(alice.world) == ["video/VP8"]


def test_only_what_was_announced_is_taken(alice: Wire, track: models.TrackInfo) -> None:
    alice.ask(add_track=rtc.AddTrackRequest(cid="x", sid="TR_other", type=VIDEO, source=CAMERA))
    assert alice.last("request_response").reason == rtc.RequestResponse.Reason.NOT_FOUND
    back_up(alice, track.sid)
    alice.ask(add_track=rtc.AddTrackRequest(cid="y", sid=track.sid, type=VIDEO, source=CAMERA))
    assert len(alice.all("request_response")) == 2, "there is one already"
