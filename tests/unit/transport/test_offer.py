"""Our own offers: answered by our own server, and read back into plans that fit each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import Mid, SlotId
from sfu.transport.errors import NegotiationError
from sfu.transport.plan import DtlsRole, SlotIds
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Negotiation, Slot
from sfu.transport.sdp.client import ClientWish, Publish, accept, client_offer
from sfu.transport.sdp.codecs import RTCP_CONFLICT, CodecPolicy
from sfu.transport.sdp.grammar import parse, write
from sfu.transport.sdp.offer import WantedSection, offer
from tests.unit.transport.support import FINGERPRINT, LOCAL, Slots, negotiate

CLIENT = LocalDescription("client", "c" * 22, FINGERPRINT, ice_lite=False)
MICROPHONE = Publish(MediaKind.AUDIO, "mic", (Slot(SlotIds(SlotId(501), 71, 72)),))
CAMERA = Publish(
    MediaKind.VIDEO,
    "cam",
    tuple(Slot(SlotIds(SlotId(510 + n), 80 + n, 90 + n), rid) for n, rid in enumerate(("q", "h", "f"))),
    stream="me",
)
WISH = ClientWish(receive_audio=3, receive_video=2, publish=(MICROPHONE, CAMERA))


def exchange(
    wish: ClientWish, client: Agreed | None = None, server: Agreed | None = None, slots: Slots | None = None
) -> tuple[Negotiation, Negotiation]:
    """Client offers, server answers, client accepts: (client's, server's)."""
    offered = client_offer(client or Agreed(), wish, CLIENT, CodecPolicy())
    answered = negotiate(write(offered.offer), server, slots=slots)
    return accept(offered, parse(write(answered.answer))), answered


class TestClient:
    def test_plans_fit_each_other(self) -> None:
        client, server = exchange(WISH)
        assert client.plan.setup is DtlsRole.ACTIVE
        assert server.plan.setup is DtlsRole.PASSIVE
        assert client.plan.extensions == server.plan.extensions
        assert client.plan.candidates == (("192.0.2.1", 7882),)
        assert (client.plan.ice_ufrag, server.plan.ice_ufrag) == (LOCAL.ufrag, CLIENT.ufrag)
        assert client.plan.data
        assert server.plan.data
        assert client.plan.allow_mixed
        assert [s.mid for s in client.plan.receive] == [s.mid for s in server.plan.send]
        for ours, theirs in zip(client.plan.receive, server.plan.send, strict=True):
            assert ours.layers[0].ssrc == theirs.ssrc
            assert ours.layers[0].rtx_ssrc == theirs.rtx_ssrc
            assert ours.codecs == theirs.codecs

    def test_simulcast_is_one_entry_per_rid(self) -> None:
        client, server = exchange(WISH)
        assert [(s.mid, s.rid, s.ssrc) for s in client.plan.send] == [
            ("0", None, 71),
            ("1", "q", 80),
            ("1", "h", 81),
            ("1", "f", 82),
        ]
        assert server.plan.receive[0].layers[0].ssrc == 71
        assert [layer.rid for layer in server.plan.receive[1].layers] == ["q", "h", "f"]
        assert [s.cid for s in server.plan.receive] == ["mic", "cam"]
        assert server.plan.transport_cc

    def test_wishes_grow_and_shrink_without_moving_sections(self) -> None:
        slots = Slots()
        client, server = exchange(replace(WISH, publish=()), slots=slots)
        more = replace(WISH, receive_video=4)
        client2, server2 = exchange(more, client.agreed, server.agreed, slots)
        assert [s.mid for s in client2.agreed.sections][:6] == [s.mid for s in client.agreed.sections]
        assert len([s for s in server2.plan.send if s.active]) == 7
        assert server2.plan.send[: len(server.plan.send)] == server.plan.send
        client3, server3 = exchange(replace(more, publish=(CAMERA,)), client2.agreed, server2.agreed, slots)
        assert [s.cid for s in server3.plan.receive] == ["cam"]
        assert [(s.ssrc, s.active) for s in client3.plan.send if s.kind is MediaKind.AUDIO] == [(71, False)]
        again, _ = exchange(more, client3.agreed, server3.agreed, slots)
        assert [s for s in again.plan.send if s.active] == list(client2.plan.send)

    def test_server_without_simulcast_gets_the_best_layer(self) -> None:
        offered = client_offer(Agreed(), ClientWish(publish=(CAMERA,)), CLIENT, CodecPolicy())
        answered = write(negotiate(write(offered.offer)).answer)
        plain = "".join(
            line + "\r\n"
            for line in answered.split("\r\n")[:-1]
            if not line.startswith(("a=rid", "a=simulcast"))
        )
        assert [(s.rid, s.ssrc) for s in accept(offered, parse(plain)).plan.send] == [(None, 82)]

    def test_only_the_codecs_of_the_policy(self) -> None:
        policy = CodecPolicy(video=(Codec.H264,))
        offered = client_offer(Agreed(), ClientWish(receive_video=1), CLIENT, policy)
        answered = negotiate(write(offered.offer))
        plan = accept(offered, answered.answer).plan
        assert {codec.codec for codec in plan.receive[0].codecs} == {Codec.H264}

    def test_payload_types_never_look_like_rtcp(self) -> None:
        offered = client_offer(Agreed(), WISH, CLIENT, CodecPolicy())
        numbers = {int(f) for m in offered.offer.media if m.kind != "application" for f in m.formats}
        assert not numbers & set(RTCP_CONFLICT)


class TestServerOffer:
    """Shape (b): the server offers what it sends."""

    def wanted(self, *kinds: str) -> tuple[WantedSection, ...]:
        make = Slots()
        sections = [
            WantedSection(Mid(str(n)), kind, slots=(Slot(make()),), sends=True, msid=("PA_1|TR_1", "TR_1"))
            for n, kind in enumerate(kinds)
        ]
        return (*sections, WantedSection(Mid("data"), "application"))

    def answer_of(self, text: str, setup: str = "active") -> str:
        """As a browser answers: the same sections, received."""
        kept = [
            line
            for line in text.split("\r\n")
            if not line.startswith(
                ("a=ssrc", "a=msid:", "a=ice-lite", "a=candidate", "a=end-of", "a=ice-", "a=finger")
            )
        ]
        text = (
            "\r\n".join(kept)
            .replace("a=sendonly", "a=recvonly")
            .replace("a=setup:actpass", f"a=setup:{setup}")
        )
        ice = "a=ice-ufrag:peer\r\na=ice-pwd:" + "w" * 22 + f"\r\na=fingerprint:{FINGERPRINT}\r\n"
        return text.replace("t=0 0\r\n", "t=0 0\r\n" + ice)

    def test_offer_and_answer(self) -> None:
        offered = offer(Agreed(), self.wanted("audio", "video"), LOCAL, CodecPolicy())
        text = write(offered.offer)
        assert "a=setup:actpass" in text
        assert "a=ice-lite" in text
        assert "a=ssrc-group:FID 2000 2001" in text
        result = accept(offered, parse(self.answer_of(text)))
        assert result.plan.setup is DtlsRole.PASSIVE
        assert [(s.mid, s.ssrc, s.active) for s in result.plan.send] == [("0", 1000, True), ("1", 2000, True)]
        assert result.plan.send[1].rtx_ssrc == 2001
        assert result.plan.data
        assert result.plan.ice_ufrag == "peer"

    def test_next_offer_keeps_places(self) -> None:
        wanted = self.wanted("audio", "video")
        offered = offer(Agreed(), wanted, LOCAL, CodecPolicy())
        agreed = accept(offered, parse(self.answer_of(write(offered.offer)))).agreed
        silent = (replace(wanted[0], sends=False), *wanted[1:])
        second = offer(agreed, silent, LOCAL, CodecPolicy())
        assert second.offer.origin.version == offered.offer.origin.version + 1
        assert "a=inactive" in write(second.offer)
        with pytest.raises(ValueError, match="stands where"):
            offer(agreed, (wanted[1], wanted[0], wanted[2]), LOCAL, CodecPolicy())
        with pytest.raises(ValueError, match="missing"):
            offer(agreed, wanted[:1], LOCAL, CodecPolicy())

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            (("a=setup:active", "a=setup:actpass"), "setup in an answer"),
            (("a=mid:0", "a=mid:5"), "answers audio section 0"),
            (("m=audio", "m=video"), "answers audio section 0"),
            (("m=audio 9", "m=audio 0"), ""),
        ],
    )
    def test_answers_that_do_not_fit(self, change: tuple[str, str], error: str) -> None:
        offered = offer(Agreed(), self.wanted("audio"), LOCAL, CodecPolicy())
        text = self.answer_of(write(offered.offer)).replace(*change)
        if error:
            with pytest.raises(NegotiationError, match=error):
                accept(offered, parse(text))
        else:
            assert accept(offered, parse(text)).plan.send == ()

    @pytest.mark.parametrize(("theirs", "ours"), [("active", "passive"), ("passive", "active")])
    def test_whoever_answers_chooses_the_side_of_dtls(self, theirs: str, ours: str) -> None:
        offered = offer(Agreed(), self.wanted("audio"), LOCAL, CodecPolicy())
        text = self.answer_of(write(offered.offer)).replace("a=setup:active", f"a=setup:{theirs}")
        assert accept(offered, parse(text)).plan.setup.value == ours

    def test_an_answer_with_fewer_sections_or_all_refused(self) -> None:
        offered = offer(Agreed(), self.wanted("audio"), LOCAL, CodecPolicy())
        text = self.answer_of(write(offered.offer))
        with pytest.raises(NegotiationError, match="1 sections answer 2"):
            accept(offered, parse(text[: text.index("m=application")]))
        with pytest.raises(NegotiationError, match="every section was refused"):
            accept(offered, parse(text.replace(" 9 UDP", " 0 UDP")))
