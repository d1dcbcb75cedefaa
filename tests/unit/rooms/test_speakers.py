from sfu.core.ids import TrackId, WorkerId
from sfu.rooms.speakers import MAX_SPEAKERS, SpeakerBoard

ONE, TWO = WorkerId(0), WorkerId(1)


def heard(*pairs: tuple[int, int]) -> tuple[tuple[TrackId, int], ...]:
    return tuple((TrackId(track), level) for track, level in pairs)


def test_loudest_first_across_workers() -> None:
    board = SpeakerBoard()
    assert board.report(ONE, heard((1, 50), (2, 10)))
    assert board.report(TWO, heard((3, 30)))
    assert [track for track, _ in board.speakers] == [1, 3, 2]
    assert not board.report(TWO, heard((3, 30))), "no news"


def test_new_report_replaces_only_its_workers() -> None:
    board = SpeakerBoard()
    board.report(ONE, heard((1, 50)))
    board.report(TWO, heard((3, 30)))
    assert board.report(ONE, ())
    assert [track for track, _ in board.speakers] == [3]


def test_removed_track_is_silent_at_once() -> None:
    board = SpeakerBoard()
    board.report(ONE, heard((1, 50), (2, 40)))
    assert board.remove(TrackId(1))
    assert not board.remove(TrackId(1))
    assert [track for track, _ in board.speakers] == [2]


def test_no_more_than_can_be_shown() -> None:
    board = SpeakerBoard()
    board.report(ONE, heard(*((track, 255) for track in range(50))))
    assert len(board.speakers) == MAX_SPEAKERS
    assert board.speakers[0] == (0, 1.0)
