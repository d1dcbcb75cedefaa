"""Later offers: places, mids, slots and SSRCs stay (DESIGN: slots)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.transport.errors import NegotiationError
from sfu.transport.sdp.agreed import Agreed
from sfu.transport.sdp.grammar import parse
from sfu.transport.sdp.negotiate import is_ice_restart
from tests.unit.transport.support import (
    FINGERPRINT,
    LEVEL,
    LOCAL,
    MID,
    Slots,
    audio,
    data,
    negotiate,
    session,
    video,
)


def test_slots_stay_and_new_sections_get_new_ones() -> None:
    slots = Slots()
    first = negotiate(session(audio("0"), video("1"), data("2")), slots=slots)
    second = negotiate(session(audio("0"), video("1"), data("2"), video("3")), first.agreed, slots=slots)
    assert second.plan.send[:2] == first.plan.send
    assert slots.made == 3
    assert second.answer.origin.session_id == first.answer.origin.session_id
    assert second.answer.origin.version == first.answer.origin.version + 1


def test_a_section_that_stops_receiving_keeps_its_slot() -> None:
    slots = Slots()
    first = negotiate(session(audio("0")), slots=slots)
    silent = negotiate(session(audio("0", direction="inactive")), first.agreed, slots=slots)
    again = negotiate(session(audio("0")), silent.agreed, slots=slots)
    assert [section.active for section in silent.plan.send] == [False]
    assert again.plan.send == first.plan.send
    assert slots.made == 1


def test_a_section_that_starts_to_send_keeps_its_slot() -> None:
    slots = Slots()
    first = negotiate(session(audio("0")), slots=slots)
    both = negotiate(session(audio("0", direction="sendrecv")), first.agreed, slots=slots)
    only = negotiate(session(audio("0", direction="sendonly")), both.agreed, slots=slots)
    assert both.plan.send == first.plan.send
    assert [section.mid for section in only.plan.receive] == ["0"]
    assert [section.active for section in only.plan.send] == [False]


def test_a_place_given_up_may_be_taken() -> None:
    slots = Slots()
    first = negotiate(session(audio("0"), video("1")), slots=slots)
    stopped = negotiate(session(audio("0"), video("1", port=0), bundle="0"), first.agreed, slots=slots)
    assert [section.mid for section in stopped.plan.send] == ["0"]
    taken = negotiate(session(audio("0"), audio("9")), stopped.agreed, slots=slots)
    assert [section.mid for section in taken.plan.send] == ["0", "9"]
    assert taken.plan.send[1].ssrc != first.plan.send[1].ssrc


def test_publish_cycles_do_not_grow_anything() -> None:
    slots = Slots()
    result = negotiate(session(audio("0"), video("1")), slots=slots)
    for _ in range(100):
        result = negotiate(session(audio("0"), video("1", direction="sendrecv")), result.agreed, slots=slots)
        result = negotiate(session(audio("0"), video("1")), result.agreed, slots=slots)
    assert slots.made == 2
    assert len(result.answer.media) == 2


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (session(audio("0")), "1 sections where 2"),
        (session(video("1"), audio("0")), "stands where audio section 0"),
        (session(audio("0"), video("7")), "stands where video section 1"),
        (session(audio("0"), audio("1")), "stands where video section 1"),
        (
            session(audio("0"), video("1"), fingerprint="sha-256 " + ":".join(["EE"] * 32)),
            "certificate changed",
        ),
        (session(audio("0", f"a=extmap:1 {LEVEL}"), video("1")), "extmap id 1 is both"),
    ],
)
def test_what_must_not_change(second: str, error: str) -> None:
    first = negotiate(session(audio("0", f"a=extmap:1 {MID}"), video("1"), fingerprint=FINGERPRINT))
    with pytest.raises(NegotiationError, match=error):
        negotiate(second, first.agreed)


def test_ice_restart() -> None:
    first = negotiate(session(audio("0")))
    same, restart = session(audio("0")), session(audio("0"), ufrag="newer")
    assert not is_ice_restart(Agreed(), parse(same))
    assert not is_ice_restart(first.agreed, parse(same))
    assert is_ice_restart(first.agreed, parse(restart))
    result = negotiate(restart, first.agreed, local=replace(LOCAL, ufrag="00fresh", pwd="n" * 22))
    assert result.ice_restart
    assert result.plan.ice_ufrag == "newer"
    assert result.answer.media[0].value("ice-ufrag") == "00fresh"
    assert result.plan.send == first.plan.send
    assert not negotiate(restart, result.agreed).ice_restart


def test_attributes_of_the_transport_only_in_the_tag_section() -> None:
    """As RFC 8829 section 5.2.2 allows in later offers."""
    ice = ("a=ice-ufrag:peer", "a=ice-pwd:" + "w" * 22, "a=setup:actpass", f"a=fingerprint:{FINGERPRINT}")
    head = session(audio("0"), video("1"))
    bare = "".join(
        line + "\r\n"
        for line in head.split("\r\n")[:-1]
        if not line.startswith(("a=ice-", "a=setup", "a=fingerprint", "a=rtcp-mux"))
    )
    text = bare.replace("a=mid:0\r\n", "a=mid:0\r\na=rtcp-mux\r\n" + "".join(line + "\r\n" for line in ice))
    first = negotiate(head)
    result = negotiate(text, first.agreed)
    assert not result.ice_restart
    assert [media.port for media in result.answer.media] == [9, 9]
