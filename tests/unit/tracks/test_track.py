from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.ids import Identity, ParticipantSid, TrackId, TrackSid
from sfu.tracks.catalog import TrackCatalog
from sfu.tracks.layers import LayerInfo
from sfu.tracks.subscription import Demand, SubscriptionWish
from sfu.tracks.track import Track, TrackInfo


def make(number: int, owner: str = "PA_a", source: TrackSource = TrackSource.CAMERA) -> Track:
    info = TrackInfo(
        sid=TrackSid(f"TR_{number}"),
        participant=ParticipantSid(owner),
        identity=Identity(owner),
        kind=source.kind or MediaKind.VIDEO,
        source=source,
        name="",
        mid="0",
        muted=False,
        mime="video/VP8",
        layers=(LayerInfo("q", 320, 180), LayerInfo("f", 1280, 720)),
    )
    return Track(TrackId(number), info, (1, 2), ("video/VP8", "video/H264"))


class TestTrack:
    def test_size_is_that_of_the_highest_layer(self) -> None:
        info = make(1).info
        assert (info.width_px, info.height_px, info.simulcast) == (1280, 720, True)

    def test_changes_say_whether_they_were_any(self) -> None:
        track = make(1)
        assert track.set_muted(True)
        assert not track.set_muted(True)
        assert track.set_layer_active(1, True)
        assert not track.set_layer_active(1, True)
        assert not track.set_layer_active(5, True)
        assert track.info.layers[1].active
        assert track.set_sent(1)
        assert (track.formats[track.sent], track.info.mime) == (2, "video/H264")
        assert not track.set_sent(1)
        assert not track.set_sent(9)

    def test_info_is_replaced_never_changed(self) -> None:
        track = make(1)
        before = track.info
        track.set_muted(True)
        assert not before.muted


class TestCatalog:
    def test_counts_without_walking(self) -> None:
        catalog = TrackCatalog()
        for number, owner in enumerate(["PA_a", "PA_a", "PA_b"]):
            catalog.add(make(number, owner))
        catalog.add(make(9, "PA_b", TrackSource.MICROPHONE))
        assert catalog.count(MediaKind.VIDEO, without=ParticipantSid("PA_a")) == 1
        assert catalog.count(MediaKind.VIDEO, without=ParticipantSid("PA_x")) == 3
        assert catalog.count(MediaKind.AUDIO, without=ParticipantSid("PA_b")) == 0
        assert len(catalog) == 4
        for number in (0, 1, 2, 9):
            track = catalog.get(TrackSid(f"TR_{number}"))
            assert track is not None
            catalog.remove(track)
        assert len(catalog) == 0
        assert catalog.count(MediaKind.VIDEO, without=ParticipantSid("PA_x")) == 0
        assert not catalog._owned

    def test_order(self) -> None:
        catalog = TrackCatalog()
        catalog.add(make(1))
        catalog.add(make(2, source=TrackSource.SCREEN_SHARE))
        catalog.add(make(3))
        assert [track.sid for track in catalog.of(MediaKind.VIDEO)] == ["TR_2", "TR_1", "TR_3"]


class TestDemand:
    def test_auto(self) -> None:
        demand, track, own = Demand(ParticipantSid("PA_me"), True), make(1), make(2, "PA_me")
        assert demand.wish(track) == SubscriptionWish()
        assert demand.wish(own) is None
        demand.decline(track.sid)
        assert demand.wish(track) is None
        demand.want(track.sid, SubscriptionWish(paused=True))
        assert demand.wish(track) == SubscriptionWish(paused=True)
        demand.forget(track.sid)
        assert demand.size == 0

    def test_chosen(self) -> None:
        demand, track = Demand(ParticipantSid("PA_me"), False), make(1)
        assert demand.wish(track) is None
        demand.decline(track.sid)
        assert demand.size == 0, "nothing to remember"
        demand.want(track.sid, SubscriptionWish())
        assert demand.wish(track) is not None
        catalog = TrackCatalog()
        assert demand.count(catalog, MediaKind.VIDEO) == 0
        catalog.add(track)
        assert demand.count(catalog, MediaKind.VIDEO) == 1
        assert demand.count(catalog, MediaKind.AUDIO) == 0
