"""Who takes part, and what is read from a server."""

from __future__ import annotations

import pytest

from sfu.core.codecs import MediaKind
from sfu.loadtest.options import Options
from sfu.loadtest.runner import LoadTestError, run, specs
from sfu.loadtest.server_load import metrics_url, parse_cpu_s
from sfu.loadtest.signal import signal_url


def options(**changes: int) -> Options:
    numbers = {"audio_publishers": 2, "video_publishers": 1, "subscribers": 3, **changes}
    return Options("key", "secret", **numbers)  # type: ignore[arg-type]


def test_each_room_has_its_own_cast_and_publishers_come_first() -> None:
    cast = specs(options(rooms=2))
    assert len(cast) == options(rooms=2).clients == 12
    assert {spec.room for spec in cast} == {"load-1", "load-2"}
    assert [spec.publish for spec in cast[:3]] == [MediaKind.AUDIO, MediaKind.AUDIO, MediaKind.VIDEO]
    assert all(spec.publish is None for spec in cast[6:])
    assert {(spec.receive_audio, spec.receive_video) for spec in cast[6:]} == {(2, 1)}
    assert len({(spec.room, spec.identity) for spec in cast}) == 12


def test_senders_of_data_are_members_without_media() -> None:
    cast = specs(options(rooms=2, data_publishers=2))
    assert len(cast) == options(rooms=2, data_publishers=2).clients == 16
    senders = [spec for spec in cast if spec.send_data]
    assert len(senders) == 4
    assert not any(spec.publish or spec.receive_audio or spec.receive_video for spec in senders)


def test_one_room_keeps_its_name() -> None:
    assert {spec.room for spec in specs(options())} == {"load"}


async def test_more_tracks_than_a_transport_has_sections_are_refused() -> None:
    with pytest.raises(LoadTestError, match="198"):
        await run(options(audio_publishers=199))


async def test_nobody_is_no_test() -> None:
    with pytest.raises(LoadTestError, match="no clients"):
        await run(options(audio_publishers=0, video_publishers=0, subscribers=0))


@pytest.mark.parametrize(
    ("url", "signal", "metrics"),
    [
        ("localhost:7880", "ws://localhost:7880/signal", "http://localhost:7880/metrics"),
        ("https://sfu.example", "wss://sfu.example/signal", "https://sfu.example/metrics"),
        ("ws://[::1]:1/signal", "ws://[::1]:1/signal", "http://[::1]:1/metrics"),
    ],
)
def test_urls_as_people_paste_them(url: str, signal: str, metrics: str) -> None:
    assert signal_url(url) == signal
    assert metrics_url(url) == metrics


def test_processor_time_is_read_from_metrics() -> None:
    text = "# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total 12.5\nother 1\n"
    assert parse_cpu_s(text) == 12.5
    assert parse_cpu_s("other 1\n") is None
    assert parse_cpu_s("process_cpu_seconds_total what\n") is None
