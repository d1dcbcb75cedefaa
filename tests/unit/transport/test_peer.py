"""A peer: wanted beside agreed; a call that raises changes nothing."""

from __future__ import annotations

import json

import pytest

from sfu.core.ids import Mid
from sfu.transport.errors import NegotiationError, SdpError
from sfu.transport.lifecycle import State
from sfu.transport.peer import Peer, SectionCount
from sfu.transport.sdp.agreed import Slot
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import write
from sfu.transport.sdp.offer import WantedSection
from tests.unit.transport.support import LOCAL, Slots, audio, session, video


@pytest.fixture
def peer() -> Peer:
    return Peer(LOCAL, CodecPolicy(), Slots(), lambda: ("00again", "a" * 22))


def test_offers_one_after_another(peer: Peer) -> None:
    assert Peer(LOCAL, CodecPolicy(), Slots(), lambda: ("", "")).plan is None
    first = peer.handle_offer(session(audio("0")))
    second = peer.handle_offer(session(audio("0"), video("1")).encode())
    assert peer.plan == second.plan
    assert second.plan.send[0] == first.plan.send[0]
    assert peer.lifecycle.state is State.CONNECTING


def test_missing_sections(peer: Peer) -> None:
    peer.want(audio=2, video=1)
    assert peer.missing() == SectionCount(2, 1)
    peer.handle_offer(session(audio("0"), video("1")))
    assert peer.missing() == SectionCount(1, 0)
    peer.handle_offer(session(audio("0"), video("1", direction="inactive")))
    assert peer.missing() == SectionCount(1, 1)
    peer.want(audio=1, video=0)
    assert not peer.missing()


def test_restart_takes_new_credentials_once(peer: Peer) -> None:
    peer.handle_offer(session(audio("0")))
    assert peer.local.ufrag == LOCAL.ufrag
    restarted = peer.handle_offer(session(audio("0"), ufrag="fresh"))
    assert restarted.ice_restart
    assert restarted.answer.media[0].value("ice-ufrag") == peer.local.ufrag == "00again"
    assert not peer.handle_offer(session(audio("0"), ufrag="fresh")).ice_restart


@pytest.mark.parametrize(
    ("text", "error"), [("nonsense", SdpError), (session(audio("5"), ufrag="fresh"), NegotiationError)]
)
def test_a_refused_offer_changes_nothing(peer: Peer, text: str, error: type[Exception]) -> None:
    peer.handle_offer(session(audio("0")))
    before = (peer.agreed, peer.local, peer.debug_state())
    with pytest.raises(error):
        peer.handle_offer(text)
    assert (peer.agreed, peer.local, peer.debug_state()) == before


def test_our_offer_and_its_answer(peer: Peer) -> None:
    wanted = (WantedSection(Mid("0"), "audio", slots=(Slot(Slots()()),), sends=True),)
    offered = peer.offer(wanted)
    for call in (lambda: peer.offer(wanted), lambda: peer.handle_offer(session(audio("0")))):
        with pytest.raises(NegotiationError, match="waits for its answer"):
            call()
    assert "m=audio" in write(offered.offer)
    with pytest.raises(SdpError):
        peer.handle_answer("nonsense")
    result = peer.handle_answer(session(audio("0"), setup="active"))
    assert [section.active for section in result.plan.send] == [True]
    with pytest.raises(NegotiationError, match="without an offer"):
        peer.handle_answer(session(audio("0"), setup="active"))
    peer.offer(wanted)
    peer.withdraw()
    peer.offer(wanted)


def test_debug_state_is_json_without_secrets(peer: Peer) -> None:
    peer.handle_offer(session(audio("0")))
    text = json.dumps(peer.debug_state())
    assert '"mid": "0"' in text
    assert LOCAL.pwd not in text
    assert LOCAL.ufrag not in text
