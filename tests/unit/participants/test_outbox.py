from sfu.participants.outbox import Outbox
from sfu.participants.sink import DomainEvent, Leave, LeaveCode, MediaStateChanged, Reconnect


class Sink:
    def __init__(self) -> None:
        self.got: list[tuple[int, DomainEvent]] = []

    def send(self, seq: int, event: DomainEvent) -> None:
        self.got.append((seq, event))


def event(name: str) -> MediaStateChanged:
    return MediaStateChanged(name)


BYE = Leave(LeaveCode.REMOVED, "", Reconnect.NO)


def test_numbers_go_on_while_nobody_listens() -> None:
    sink, other = Sink(), Sink()
    outbox = Outbox(10, sink)
    outbox.post(event("a"))
    assert outbox.detach(sink)
    outbox.post(event("b"))
    outbox.attach(other)
    outbox.post(event("c"))
    assert sink.got == [(1, event("a"))]
    assert other.got == [(3, event("c"))]
    assert outbox.missed(1) == [(2, event("b")), (3, event("c"))]
    assert outbox.missed(3) == []


def test_what_is_forgotten_or_was_never_sent_needs_a_snapshot() -> None:
    outbox = Outbox(2, Sink())
    for name in "abcd":
        outbox.post(event(name))
    assert outbox.missed(2) == [(3, event("c")), (4, event("d"))]
    assert outbox.missed(1) is None
    assert outbox.missed(0) is None
    assert outbox.missed(5) is None
    assert outbox.missed(-1) is None


def test_only_the_current_sink_can_detach() -> None:
    old, new = Sink(), Sink()
    outbox = Outbox(10, old)
    outbox.attach(new)
    assert not outbox.detach(old)
    assert outbox.attached
    assert outbox.detach(new)
    assert not outbox.detach(new)


def test_taking_over_tells_the_older_sink_once() -> None:
    old, new = Sink(), Sink()
    outbox = Outbox(10, old)
    outbox.attach(new)
    outbox.attach(new)
    assert [type(item) for _, item in old.got] == [Leave]
    assert new.got == []
    assert outbox.missed(1) is None, "it was no event of the session"


def test_nothing_follows_the_end() -> None:
    sink = Sink()
    outbox = Outbox(10, sink)
    outbox.close(BYE)
    outbox.post(event("late"))
    outbox.send(9, event("late"))
    assert sink.got == [(1, BYE)]
    quiet = Sink()
    outbox = Outbox(10, quiet)
    outbox.close(None)
    assert quiet.got == []
    assert not outbox.attached
