from hypothesis import given
from hypothesis import strategies as st

from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.ids import Identity, Mid, ParticipantSid, SlotId, TrackId, TrackSid
from sfu.dataplane.commands import Subscribe, Unsubscribe, UpdateSubscription
from sfu.router.plan import Assignment, RoutePlan, Slot
from sfu.router.reconcile import reconcile
from sfu.router.router import plan
from sfu.tracks.catalog import TrackCatalog
from sfu.tracks.layers import LayerInfo
from sfu.tracks.subscription import Demand, SubscriptionWish
from sfu.tracks.track import Track, TrackInfo

ME = ParticipantSid("PA_me")
VP8, H264, OPUS, RED = 1, 2, 3, 4
NAMES = {VP8: "video/VP8", H264: "video/H264", OPUS: "audio/opus", RED: "audio/red"}
VIDEO, AUDIO = MediaKind.VIDEO, MediaKind.AUDIO


def track(
    number: int, source: TrackSource = TrackSource.CAMERA, owner: str = "PA_other", codec: int = VP8
) -> Track:
    kind = source.kind or VIDEO
    codec = OPUS if kind is AUDIO else codec
    info = TrackInfo(
        sid=TrackSid(f"TR_{number}"),
        participant=ParticipantSid(owner),
        identity=Identity(owner),
        kind=kind,
        source=source,
        name="",
        mid="0",
        muted=False,
        mime=NAMES[codec],
        layers=(LayerInfo(),),
    )
    return Track(TrackId(number), info, (codec,), (NAMES[codec],))


def slot(number: int, *codecs: int, active: bool = True) -> Slot:
    formats = codecs or (VP8, H264)
    kind = AUDIO if OPUS in formats else VIDEO
    names = tuple(NAMES[codec] for codec in formats)
    return Slot(SlotId(number), Mid(str(number)), kind, frozenset(formats), names, active)


def catalog(*tracks: Track) -> TrackCatalog:
    made = TrackCatalog()
    for item in tracks:
        made.add(item)
    return made


def placed(route: RoutePlan) -> dict[int, str]:
    return {slot: item.sid for slot, item in route.assignments.items()}


def auto() -> Demand:
    return Demand(ME, auto=True)


def test_agents_hear_a_voice_for_its_own_sake() -> None:
    microphone = track(1, TrackSource.MICROPHONE)
    for attentive, priority in ((False, 100), (True, 255)):
        route = plan(Demand(ME, True, attentive=attentive), catalog(microphone), [slot(1, OPUS)], {}, True)
        assert [item.wish.priority for item in route.assignments.values()] == [priority]


def test_sound_with_redundancy_fits_slots_without() -> None:
    microphone = track(1, TrackSource.MICROPHONE)
    microphone.formats, microphone.codec_names = (RED, OPUS), (NAMES[RED], NAMES[OPUS])
    assert placed(plan(auto(), catalog(microphone), [slot(1, OPUS)], {}, True)) == {1: "TR_1"}
    assert placed(plan(auto(), catalog(microphone), [slot(1, OPUS, RED)], {}, True)) == {1: "TR_1"}
    microphone.set_sent(1)
    assert placed(plan(auto(), catalog(microphone), [slot(1, OPUS)], {}, True)) == {1: "TR_1"}


def test_own_tracks_are_not_wanted() -> None:
    route = plan(auto(), catalog(track(1, owner=ME)), [slot(1)], {}, True)
    assert placed(route) == {}
    assert route.missing[VIDEO] == 0
    assert route.free[VIDEO] == 1


def test_asked_for_before_unasked_and_screens_before_cameras() -> None:
    tracks = catalog(track(1), track(2, TrackSource.SCREEN_SHARE), track(3))
    demand = auto()
    assert placed(plan(demand, tracks, [slot(1)], {}, True)) == {1: "TR_2"}
    demand.want(TrackSid("TR_3"), SubscriptionWish())
    assert placed(plan(demand, tracks, [slot(1), slot(2)], {}, True)) == {1: "TR_3", 2: "TR_2"}


def test_section_with_the_right_codec_is_chosen() -> None:
    tracks = catalog(track(1, codec=H264), track(2, codec=VP8))
    route = plan(auto(), tracks, [slot(1, VP8), slot(2, H264)], {}, True)
    assert placed(route) == {1: "TR_2", 2: "TR_1"}


def test_waiting_for_a_section_is_no_failure() -> None:
    tracks = catalog(track(1, codec=VP8), track(2, codec=VP8))
    route = plan(auto(), tracks, [slot(1, VP8), slot(2, H264)], {}, True)
    assert placed(route) == {1: "TR_1"}
    assert route.failures == ()
    assert route.missing[VIDEO] == 1


def test_codec_that_no_section_takes_is_a_failure() -> None:
    route = plan(auto(), catalog(track(1, codec=H264), track(2)), [slot(1, VP8), slot(2, VP8)], {}, True)
    assert placed(route) == {1: "TR_2"}
    assert [(item.track, item.published, item.accepted) for item in route.failures] == [
        ("TR_1", ("video/H264",), ("video/VP8",))
    ]
    assert route.missing[VIDEO] == 0


def test_without_any_section_everything_is_missing_and_nothing_fails() -> None:
    route = plan(auto(), catalog(track(1), track(2, TrackSource.MICROPHONE)), [], {}, True)
    assert (route.missing[VIDEO], route.missing[AUDIO]) == (1, 1)
    assert route.failures == ()


def test_without_permission_nothing_is_planned_or_missing() -> None:
    route = plan(auto(), catalog(track(1)), [slot(1)], {}, False)
    assert placed(route) == {}
    assert route.missing[VIDEO] == 0


def test_priority_follows_the_source_unless_the_client_says() -> None:
    tracks = catalog(track(1, TrackSource.SCREEN_SHARE), track(2), track(3, TrackSource.UNKNOWN))
    route = plan(auto(), tracks, [slot(1), slot(2), slot(3)], {}, True)
    screen, camera, other = (route.assignments[SlotId(number)].wish.priority for number in (1, 2, 3))
    assert screen > camera > other
    demand = auto()
    demand.want(TrackSid("TR_2"), SubscriptionWish(priority=250))
    assert plan(demand, tracks, [slot(1)], {}, True).assignments[SlotId(1)].wish.priority == 250


def test_audio_is_never_paused_for_want_of_bandwidth() -> None:
    tracks = catalog(track(1, TrackSource.MICROPHONE), track(2))
    route = plan(auto(), tracks, [slot(1, OPUS), slot(2)], {}, True)
    assert not route.assignments[SlotId(1)].wish.may_pause
    assert route.assignments[SlotId(2)].wish.may_pause


def test_differences() -> None:
    tracks = catalog(track(1), track(2), track(3))
    slots = [slot(1), slot(2), slot(3)]
    demand = auto()
    first = plan(demand, tracks, slots, {}, True)
    begun = reconcile({}, first)
    assert [type(command) for command in begun.commands] == [Subscribe] * 3
    assert reconcile(first.assignments, first).commands == ()
    demand.decline(TrackSid("TR_1"))
    demand.want(TrackSid("TR_2"), SubscriptionWish(max_height_px=180))
    second = plan(demand, tracks, slots, first.assignments, True)
    changed = reconcile(first.assignments, second)
    assert {type(command) for command in changed.commands} == {Unsubscribe, UpdateSubscription}
    assert [item.sid for _, item in changed.unbound] == ["TR_1"]
    assert changed.bound == ()


def test_other_track_on_a_used_slot_is_one_switch() -> None:
    tracks = catalog(track(1), track(2))
    demand = auto()
    first = plan(demand, tracks, [slot(1)], {}, True)
    demand.decline(TrackSid("TR_1"))
    second = plan(demand, tracks, [slot(1)], first.assignments, True)
    difference = reconcile(first.assignments, second)
    assert [type(command) for command in difference.commands] == [Subscribe]
    assert ([item.sid for _, item in difference.unbound], [item.sid for _, item in difference.bound]) == (
        ["TR_1"],
        ["TR_2"],
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[Demand, TrackCatalog, list[Slot], dict[SlotId, Assignment]]:
    sources = st.sampled_from(list(TrackSource))
    owners = st.sampled_from([ME, "PA_a", "PA_b"])
    codecs = st.sampled_from([VP8, H264])
    tracks = [
        track(number, draw(sources), draw(owners), draw(codecs)) for number in range(draw(st.integers(0, 8)))
    ]
    choices = st.sampled_from([(VP8,), (H264,), (VP8, H264), (OPUS,)])
    slots = [slot(n, *draw(choices), active=draw(st.booleans())) for n in range(draw(st.integers(0, 8)))]
    demand = Demand(ME, draw(st.booleans()))
    for item in tracks:
        if item.info.participant != ME:
            action = draw(st.sampled_from(["", "want", "decline"]))
            if action == "want":
                demand.want(item.sid, SubscriptionWish(paused=draw(st.booleans())))
            elif action == "decline":
                demand.decline(item.sid)
    everything = catalog(*tracks)
    # What was applied may be of another time: other wishes, sections inactive since.
    applied = dict(plan(auto(), everything, slots, {}, True).assignments)
    return demand, everything, slots, applied


@given(situations())
def test_plan_is_sound(situation: tuple[Demand, TrackCatalog, list[Slot], dict[SlotId, Assignment]]) -> None:
    demand, tracks, slots, applied = situation
    route = plan(demand, tracks, slots, applied, True)
    by_id = {item.id: item for item in slots}
    sids = [item.sid for item in route.assignments.values()]
    assert len(set(sids)) == len(sids), "no track twice"
    for slot_id, item in route.assignments.items():
        carried = tracks.get(item.sid)
        assert carried is not None
        assert demand.wish(carried) is not None
        assert carried.fits(by_id[slot_id].formats)
        assert carried.kind is by_id[slot_id].kind
        assert by_id[slot_id].active
    for kind in MediaKind:
        wanted = {item.sid for item in demand.wanted(tracks, kind)}
        assert len(wanted) == demand.count(tracks, kind)
        assert route.free[kind] == sum(
            item.active and item.kind is kind and item.id not in route.assignments for item in slots
        )
    for slot_id, before in applied.items():
        now = route.assignments.get(slot_id)
        if now is not None and now.track != before.track:
            assert before.sid not in sids, "a track never moves to another section"
    again = plan(demand, tracks, slots, route.assignments, True)
    # What waits is not looked at once all sections are taken: what cannot be had is told the first time.
    assert (again.assignments, again.free) == (route.assignments, route.free), "planned is planned"
    assert reconcile(route.assignments, again).commands == ()
