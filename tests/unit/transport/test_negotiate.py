"""One answer: what is taken, what is refused, with which error."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.core.codecs import Codec, MediaKind
from sfu.core.errors import PeerError
from sfu.core.ids import Mid
from sfu.transport.errors import NegotiationError, NoCommonCodecError, SdpError
from sfu.transport.plan import DtlsRole, LayerSpec
from sfu.transport.sdp.agreed import Agreed, SlotRule
from sfu.transport.sdp.codecs import RTCP_CONFLICT, CodecPolicy
from sfu.transport.sdp.extensions import DEPENDENCY_DESCRIPTOR
from sfu.transport.sdp.grammar import MAX_SECTIONS, parse, write
from sfu.transport.sdp.model import MediaDescription
from sfu.transport.sdp.negotiate import answer
from sfu.transport.sdp.section import read_sections
from tests.unit.transport.support import (
    CAPTURED,
    LEVEL,
    LOCAL,
    MID,
    Slots,
    audio,
    captured,
    data,
    negotiate,
    session,
    video,
)


def attributes(media: MediaDescription, name: str) -> list[str]:
    return list(media.values(name))


class TestRealOffers:
    @pytest.mark.parametrize("name", CAPTURED)
    def test_every_section_is_answered_in_use(self, name: str) -> None:
        offer = parse(captured(name))
        result = negotiate(captured(name))
        text = write(result.answer)
        assert parse(text) == result.answer
        assert [(m.kind, m.value("mid"), m.protocol) for m in result.answer.media] == [
            (m.kind, m.value("mid"), m.protocol) for m in offer.media
        ]
        assert all(media.port == 9 for media in result.answer.media)
        assert list(result.answer.values("group")) == list(offer.values("group"))

    @pytest.mark.parametrize("name", CAPTURED)
    def test_nothing_is_answered_that_was_not_offered(self, name: str) -> None:
        offered = {section.mid: section for section in read_sections(parse(captured(name)))}
        for section in read_sections(negotiate(captured(name)).answer):
            offer = offered[section.mid]
            assert {p.payload_type for p in section.payloads} <= {p.payload_type for p in offer.payloads}
            assert {(e.id, e.uri) for e in section.extensions} <= {(e.id, e.uri) for e in offer.extensions}
            for payload in section.payloads:
                theirs = next(p for p in offer.payloads if p.payload_type == payload.payload_type)
                assert payload.encoding == theirs.encoding
                assert payload.feedback <= theirs.feedback
            assert set(section.received_rids) <= set(offer.rids)
            assert section.rtcp_rsize <= offer.rtcp_rsize

    @pytest.mark.parametrize("name", CAPTURED)
    def test_each_receiving_section_has_a_slot_with_a_stable_ssrc(self, name: str) -> None:
        plan = negotiate(captured(name)).plan
        answer = {s.mid: s for s in read_sections(negotiate(captured(name)).answer)}
        receiving = [
            s
            for s in read_sections(parse(captured(name)))
            if s.kind != "application" and s.direction.receives
        ]
        assert [s.mid for s in plan.send] == [s.mid for s in receiving]
        for section in plan.send:
            ssrcs = (section.ssrc,) if section.rtx_ssrc is None else (section.ssrc, section.rtx_ssrc)
            assert answer[section.mid].ssrcs == ssrcs
            assert answer[section.mid].direction.sends
            assert answer[section.mid].msid == (f"slot-{section.mid}", f"airside-slot-{section.mid}")

    def test_chromium_simulcast(self) -> None:
        result = negotiate(captured("chromium_publish_simulcast"))
        camera = result.plan.receive[1]
        assert camera.layers == (LayerSpec("q"), LayerSpec("h"), LayerSpec("f"))
        assert camera.transport_cc
        assert not camera.remb
        assert len(camera.cid) == 36, "the browser's track id, a UUID"
        section = result.answer.media[1]
        assert attributes(section, "simulcast") == ["recv q;h;f"]
        assert attributes(section, "rid") == ["q recv", "h recv", "f recv"]
        assert {codec.codec for codec in camera.codecs} == {Codec.VP8, Codec.H264, Codec.VP9, Codec.AV1}
        assert all(codec.rtx_payload_type is not None and codec.nack for codec in camera.codecs)
        assert len({codec.format for codec in camera.codecs if codec.codec is Codec.H264}) > 2
        assert result.plan.allow_mixed
        # VP8 comes first, which would lose its picture ids to the dependency descriptor.
        assert not any("dependency" in line for line in attributes(section, "extmap"))
        assert not any("layers-allocation" in uri for _, uri in result.plan.extensions)

    def test_firefox_direction_suffix_and_bundle_only(self) -> None:
        result = negotiate(captured("firefox_publish_simulcast"))
        lines = attributes(result.answer.media[1], "extmap")
        assert "9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id" in lines
        assert "6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay" in lines
        assert [layer.rid for layer in result.plan.receive[1].layers] == ["q", "h", "f"]
        assert result.plan.data

    def test_aiortc_gets_remb_and_declared_ssrcs(self) -> None:
        plan = negotiate(captured("aiortc_both_ways")).plan
        assert plan.remb
        assert not plan.transport_cc
        video_section = plan.receive[1]
        assert video_section.layers[0].ssrc is not None
        assert video_section.layers[0].rtx_ssrc is not None
        assert [s.active for s in plan.send] == [True] * 4

    def test_gstreamer_without_extensions(self) -> None:
        plan = negotiate(captured("gstreamer_both_ways")).plan
        assert plan.extensions == ()
        assert [section.cid for section in plan.receive] == ["webrtctransceiver0", "webrtctransceiver1"]
        assert not plan.transport_cc, "without its sequence numbers there is no feedback"
        assert plan.receive[1].codecs[0].rtx_payload_type is None

    @pytest.mark.parametrize("name", CAPTURED)
    def test_aiortc_reads_every_answer(self, name: str) -> None:
        sdp = pytest.importorskip("aiortc.sdp")
        outside = re.sub(r"(a=group:BUNDLE \S+).*", r"\1", captured(name))
        for text in (captured(name), outside):
            read = sdp.SessionDescription.parse(write(negotiate(text).answer))
            for media in read.media:
                assert media.ice.usernameFragment
                assert media.dtls.role == "server"
                assert media.rtcp_mux or media.kind == "application"

    @settings(max_examples=150)
    @given(st.sampled_from(CAPTURED), st.data())
    def test_with_bytes_changed_gives_an_answer_or_a_peer_error(self, name: str, draw: st.DataObject) -> None:
        text = bytearray(captured(name).encode())
        for _ in range(draw.draw(st.integers(1, 3))):
            text[draw.draw(st.integers(0, len(text) - 1))] = draw.draw(st.integers(32, 126))
        try:
            result = negotiate(text.decode())
        except PeerError:
            return
        assert parse(write(result.answer)) == result.answer


class TestTransport:
    def test_passive_lite_with_candidates_in_each_section(self) -> None:
        answer = negotiate(session(audio(), video(), data())).answer
        assert answer.value("ice-lite") == ""
        for media in answer.media:
            assert attributes(media, "setup") == ["passive"]
            assert attributes(media, "ice-ufrag") == [LOCAL.ufrag]
            assert attributes(media, "fingerprint") == [LOCAL.fingerprint]
        assert [len(attributes(media, "candidate")) for media in answer.media] == [1, 1, 1]
        assert [len(attributes(media, "end-of-candidates")) for media in answer.media] == [1, 1, 1]

    def test_active_is_agreed_to(self) -> None:
        assert negotiate(session(audio(), setup="active")).plan.setup is DtlsRole.PASSIVE

    @pytest.mark.parametrize("setup", ["passive", "holdconn"])
    def test_a_peer_that_would_be_the_dtls_server(self, setup: str) -> None:
        with pytest.raises(NegotiationError, match="setup must be actpass or active"):
            negotiate(session(audio(), setup=setup))

    def test_contradictory_setup_of_two_sections(self) -> None:
        text = session(audio("0", "a=setup:active"), video("1", "a=setup:actpass"), setup="")
        with pytest.raises(NegotiationError, match="active and actpass"):
            negotiate(text)

    def test_contradictory_setup_in_one_section(self) -> None:
        with pytest.raises(SdpError, match="second setup"):
            negotiate(session(audio("0", "a=setup:active", "a=setup:passive"), setup=""))

    def test_ufrag_per_section_takes_the_tag(self) -> None:
        ice = ("a=ice-ufrag:{}", "a=ice-pwd:" + "v" * 22)
        text = session(
            audio("0", ice[0].format("first"), ice[1]),
            video("1", ice[0].format("other"), ice[1]),
            bundle="1 0",
        )
        assert negotiate(text).plan.ice_ufrag == "other"

    @pytest.mark.parametrize("fingerprint", ["", "md2 AB:CD"])
    def test_no_fingerprint_that_we_know(self, fingerprint: str) -> None:
        with pytest.raises(NegotiationError, match="fingerprint"):
            negotiate(session(audio(), fingerprint=fingerprint))

    @pytest.mark.parametrize(
        "value", ["sha-256 AB", "sha-256", "sha-256 XY:ZZ", "sha-256 " + "AB:" * 31 + "AB CD"]
    )
    def test_malformed_fingerprint(self, value: str) -> None:
        with pytest.raises(SdpError):
            negotiate(session(audio(), fingerprint=value))

    def test_duplicate_fingerprints_count_once_and_many_are_refused(self) -> None:
        same = "a=fingerprint:SHA-256 " + ":".join(["ab"] * 32)
        assert len(negotiate(session(audio("0", same, same), fingerprint="")).plan.fingerprints) == 1
        many = [f"a=fingerprint:sha-256 {':'.join([f'{n:02X}'] * 32)}" for n in range(20)]
        with pytest.raises(SdpError, match="fingerprints"):
            negotiate(session(audio("0", *many), fingerprint=""))

    def test_no_ice_credentials(self) -> None:
        with pytest.raises(NegotiationError, match="ice-ufrag"):
            negotiate(session(audio()).replace("a=ice-ufrag:peer\r\n", ""))

    @pytest.mark.parametrize("ufrag", ["abc", "a" * 257, "with space", "per%cent"])
    def test_malformed_ice_credentials(self, ufrag: str) -> None:
        with pytest.raises(SdpError, match="ICE credentials"):
            negotiate(session(audio(), ufrag=ufrag))

    def test_candidates_of_another_generation_tcp_and_names_are_ignored(self) -> None:
        lines = (
            "a=candidate:1 1 udp 2000 192.0.2.7 5000 typ host ufrag peer",
            "a=candidate:1 1 udp 2001 192.0.2.8 5000 typ host ufrag gone",
            "a=candidate:1 1 tcp 2002 192.0.2.9 9 typ host tcptype active",
            "a=candidate:1 1 udp 2003 a-b-c.local 5000 typ host",
            "a=candidate:garbage",
        )
        assert negotiate(session(audio("0", *lines))).plan.candidates == (("192.0.2.7", 5000),)

    def test_mux_is_required(self) -> None:
        with pytest.raises(NegotiationError, match="rtcp-mux"):
            negotiate(session(audio()).replace("a=rtcp-mux\r\n", ""))


class TestSections:
    def test_outside_the_bundle_group_is_refused_with_full_attributes(self) -> None:
        result = negotiate(session(audio("0"), video("1"), bundle="0"))
        refused = result.answer.media[1]
        assert refused.port == 0
        assert attributes(refused, "mid") == ["1"]
        assert attributes(refused, "rtpmap") == ["96 VP8/90000", "97 rtx/90000"]
        assert attributes(refused, "fmtp") == ["97 apt=96"]
        for name in ("inactive", "ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux"):
            assert attributes(refused, name), name
        assert result.answer.value("group") == "BUNDLE 0"
        assert result.agreed.sections[1].rejected
        assert [section.mid for section in result.plan.send] == ["0"]

    def test_without_a_group_only_the_first_is_used(self) -> None:
        result = negotiate(session(audio("0"), video("1"), bundle=""))
        assert [media.port for media in result.answer.media] == [9, 0]
        assert result.answer.value("group") is None

    def test_one_section_without_mid(self) -> None:
        text = session(audio(direction="sendonly"), bundle="").replace("a=mid:0\r\n", "")
        result = negotiate(text)
        assert result.answer.media[0].value("mid") is None
        assert result.plan.receive[0].mid == "0"

    def test_port_0_is_answered_with_port_0_unless_bundle_only(self) -> None:
        result = negotiate(session(audio("0"), video("1", port=0), video("2", "a=bundle-only", port=0)))
        assert [media.port for media in result.answer.media] == [9, 0, 9]

    def test_unknown_kinds_and_protocols_are_refused(self) -> None:
        text = session(
            audio("0"),
            "m=text 9 UDP/TLS/RTP/SAVPF 98\na=mid:1\na=rtpmap:98 t140/1000",
            audio("2").replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
            "m=application 9 UDP/BFCP *\na=mid:3",
        )
        assert [media.port for media in negotiate(text).answer.media] == [9, 0, 0, 0]

    def test_nothing_usable(self) -> None:
        with pytest.raises(NegotiationError, match="no section can be used"):
            negotiate(session(audio(port=0)))
        with pytest.raises(NegotiationError, match="no section can be used"):
            negotiate(session())

    def test_one_association_for_data(self) -> None:
        result = negotiate(session(data("0"), data("1")))
        assert [media.port for media in result.answer.media] == [9, 0]
        assert result.plan.data
        assert attributes(result.answer.media[0], "sctp-port") == ["5000"]
        assert attributes(result.answer.media[0], "max-message-size") == ["65536"]

    @pytest.mark.parametrize(
        ("offered", "answered"),
        [
            ("sendrecv", "sendrecv"),
            ("sendonly", "recvonly"),
            ("recvonly", "sendonly"),
            ("inactive", "inactive"),
        ],
    )
    def test_direction(self, offered: str, answered: str) -> None:
        result = negotiate(session(audio(direction=offered)))
        assert answered in {a.name for a in result.answer.media[0].attributes}
        assert bool(result.plan.receive) == (offered in ("sendrecv", "sendonly"))
        assert bool(result.plan.send) == (offered in ("sendrecv", "recvonly"))

    def test_refused_sections_may_still_receive(self) -> None:
        slots = Slots()
        text = session(audio("0", direction="sendrecv"), video("1"))
        result = negotiate(text, refused={Mid("0")}, slots=slots)
        assert [s.direction.value for s in read_sections(result.answer)] == ["sendonly", "sendonly"]
        assert slots.made == 2
        assert result.plan.receive == ()

    @pytest.mark.parametrize(
        ("rule", "answered"),
        [
            (SlotRule.ANY, ["sendrecv", "sendonly"]),
            (SlotRule.RECEIVING, ["recvonly", "sendonly"]),
            (SlotRule.NONE, ["recvonly", "inactive"]),
        ],
    )
    def test_slot_rule(self, rule: SlotRule, answered: list[str]) -> None:
        text = session(audio("0", direction="sendrecv"), video("1"))
        result = negotiate(text, slot_rule=rule)
        assert [s.direction.value for s in read_sections(result.answer)] == answered

    def test_a_section_once_sent_in_gets_no_slot_later(self) -> None:
        first = negotiate(session(audio("0", direction="sendrecv")), slot_rule=SlotRule.RECEIVING)
        text = session(audio("0", direction="recvonly"))
        later = negotiate(text, agreed=first.agreed, slot_rule=SlotRule.RECEIVING)
        assert [s.direction.value for s in read_sections(later.answer)] == ["inactive"]

    def test_duplicate_mid(self) -> None:
        with pytest.raises(NegotiationError, match="same mid"):
            negotiate(session(audio("0"), video("0")))

    @pytest.mark.parametrize("mid", ["a" * 17, "", "a b", "ü"])
    def test_malformed_mid(self, mid: str) -> None:
        with pytest.raises(SdpError, match="mid"):
            negotiate(session(audio("0", f"a=mid:{mid}")))

    def test_msid_of_the_caller(self) -> None:
        result = negotiate(session(audio("0")), msid=lambda mid: ("PA_x|TR_y", f"TR_{mid}"))
        assert attributes(result.answer.media[0], "msid") == ["PA_x|TR_y TR_0"]


class TestCodecs:
    def test_sound_is_sent_with_redundancy(self) -> None:
        result = negotiate(captured("chromium_publish_simulcast"))
        microphone = result.plan.receive[0]
        assert [codec.codec for codec in microphone.codecs] == [Codec.RED, Codec.OPUS]
        red = next(p for p in read_sections(result.answer)[0].payloads if p.encoding == "red")
        assert (red.payload_type, red.fmtp, red.channels) == (63, "111/111", 2)

    def test_sound_without_redundancy_where_that_is_wanted(self) -> None:
        text = captured("chromium_publish_simulcast")
        result = answer(Agreed(), parse(text), LOCAL, CodecPolicy(), Slots(), plain={Mid("0")})
        assert [codec.codec for codec in result.plan.receive[0].codecs] == [Codec.OPUS]

    @pytest.mark.parametrize("inside", ["110/111", "0/5", "", "111/111=2"])
    def test_redundancy_around_anything_but_opus_is_not_taken(self, inside: str) -> None:
        text = captured("chromium_publish_simulcast").replace("a=fmtp:63 111/111", f"a=fmtp:63 {inside}")
        assert [codec.codec for codec in negotiate(text).plan.receive[0].codecs] == [Codec.OPUS]

    def test_receivers_say_their_own_order(self) -> None:
        text = captured("chromium_publish_simulcast").replace("a=sendonly", "a=recvonly")
        codecs = negotiate(text).plan.send[0].codecs
        assert [codec.codec for codec in codecs] == [Codec.OPUS, Codec.RED]

    @pytest.mark.parametrize(
        ("formats", "direction", "lines", "taken"),
        [
            ("45 96", "sendonly", ("a=extmap-allow-mixed",), True),
            ("96 45", "sendonly", ("a=extmap-allow-mixed",), False),
            ("96 45", "recvonly", ("a=extmap-allow-mixed",), True),
            ("45 96", "sendonly", (), False),
        ],
    )
    def test_dependency_descriptor_where_it_tells_layers(
        self, formats: str, direction: str, lines: tuple[str, ...], taken: bool
    ) -> None:
        section = video(
            "0",
            "a=rtpmap:45 AV1/90000",
            f"a=extmap:12 {DEPENDENCY_DESCRIPTOR}",
            *lines,
            direction=direction,
            formats=formats,
        )
        result = negotiate(session(section))
        assert ((12, DEPENDENCY_DESCRIPTOR) in result.plan.extensions) is taken

    def test_no_common_codec_names_both_sides(self) -> None:
        text = session(audio()).replace("111 opus/48000/2", "111 speex/16000")
        with pytest.raises(NoCommonCodecError) as caught:
            negotiate(text)
        assert caught.value.code == "no_common_codec"
        assert str(caught.value) == "section 0: no common codec: offered are speex; accepted are Opus"

    def test_profiles_are_named(self) -> None:
        text = session(video(direction="sendonly")).replace("96 VP8/90000", "96 H264/90000")
        with pytest.raises(
            NoCommonCodecError, match=r"offered are H264 constrained baseline mode 0; accepted are VP8, VP9"
        ):
            negotiate(text, policy=CodecPolicy(video=(Codec.VP8, Codec.VP9)))

    def test_several_h264_payload_types_are_kept_apart(self) -> None:
        lines = []
        for number, fmtp in (
            (102, "packetization-mode=1;profile-level-id=42e01f"),
            (104, "packetization-mode=0;profile-level-id=42e01f"),
            (106, "packetization-mode=1;profile-level-id=640c1f;level-asymmetry-allowed=1"),
            (108, "packetization-mode=2;profile-level-id=42e01f"),
        ):
            lines += [f"a=rtpmap:{number} H264/90000", f"a=fmtp:{number} {fmtp}"]
        plan = negotiate(session(video("0", *lines, direction="sendonly", formats="102 104 106 108 96"))).plan
        codecs = plan.receive[0].codecs
        assert [codec.payload_type for codec in codecs] == [102, 104, 106, 96]
        assert len({codec.format for codec in codecs}) == 4
        assert codecs[2].fmtp == "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"

    def test_payload_types_that_look_like_rtcp_are_not_taken(self) -> None:
        lines = [line for n in RTCP_CONFLICT for line in (f"a=rtpmap:{n} VP9/90000",)]
        formats = " ".join(str(n) for n in RTCP_CONFLICT)
        result = negotiate(session(video("0", *lines, formats=f"{formats} 96")))
        assert result.answer.media[0].formats == ("96",)

    def test_the_peers_order_and_the_preferred_codec(self) -> None:
        text = session(video("0", "a=rtpmap:98 VP9/90000", "a=rtpmap:45 AV1/90000", formats="98 45 96 97"))
        assert negotiate(text).answer.media[0].formats == ("98", "45", "96", "97")
        preferred = negotiate(text, policy=CodecPolicy(preferred={Mid("0"): Codec.VP8}))
        assert preferred.answer.media[0].formats == ("96", "97", "98", "45")

    def test_rtx_follows_apt_and_may_be_switched_off(self) -> None:
        text = session(video("0", "a=rtpmap:99 rtx/90000", "a=fmtp:99 apt=50", formats="99 96 97"))
        assert negotiate(text).answer.media[0].formats == ("96", "97")
        plain = negotiate(text, policy=CodecPolicy(rtx=False))
        assert plain.answer.media[0].formats == ("96",)
        assert plain.plan.send[0].rtx_ssrc is None

    @pytest.mark.parametrize("rtpmap", ["111 opus/48000", "111 opus/8000/2", "111 VP8/90000"])
    def test_a_codec_of_another_shape_is_another_codec(self, rtpmap: str) -> None:
        with pytest.raises(NoCommonCodecError):
            negotiate(session(audio()).replace("111 opus/48000/2", rtpmap))

    @pytest.mark.parametrize(
        "rtpmap", ["111 opus", "111", "111 opus/x", "111 opus/0/2", "111 opus/48000/2/2"]
    )
    def test_malformed_rtpmap(self, rtpmap: str) -> None:
        with pytest.raises(SdpError, match="rtpmap"):
            negotiate(session(audio()).replace("111 opus/48000/2", rtpmap))

    @pytest.mark.parametrize(
        "line", ["a=ptime:0", "a=ptime:99999999999", "a=maxptime:-1", "a=fmtp:111", "a=fmtp:5 apt=x"]
    )
    def test_harmless_nonsense_is_not_repeated(self, line: str) -> None:
        assert negotiate(session(audio("0", line))).answer == negotiate(session(audio("0"))).answer

    def test_stereo_is_asked_of_those_who_have_it(self) -> None:
        mono = negotiate(session(audio("0"))).answer.media[0]
        stereo = negotiate(session(audio("0").replace("useinbandfec=1", "sprop-stereo=1"))).answer.media[0]
        assert attributes(mono, "fmtp") == ["111 minptime=10;useinbandfec=1"]
        assert attributes(stereo, "fmtp") == ["111 minptime=10;useinbandfec=1;stereo=1"]

    def test_transport_cc_wins_over_remb_where_it_works(self) -> None:
        fb = "a=rtcp-fb:96 transport-cc"
        ext = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
        with_both = negotiate(session(video("0", fb, ext, direction="sendonly")))
        assert attributes(with_both.answer.media[0], "rtcp-fb") == [
            "96 transport-cc",
            "96 nack",
            "96 nack pli",
        ]
        assert (with_both.plan.transport_cc, with_both.plan.remb) == (True, False)
        without_numbers = negotiate(session(video("0", fb, direction="sendonly")))
        assert (without_numbers.plan.transport_cc, without_numbers.plan.remb) == (False, True)

    def test_feedback_for_every_payload_type(self) -> None:
        text = session(video("0", "a=rtcp-fb:* ccm fir"))
        assert "96 ccm fir" in attributes(negotiate(text).answer.media[0], "rtcp-fb")

    def test_how_keyframes_may_be_asked_for(self) -> None:
        def asked(*lines: str) -> tuple[bool, bool]:
            section = video("0", *lines, direction="sendonly").replace("a=rtcp-fb:96 nack pli\n", "")
            codec = negotiate(session(section)).plan.receive[0].codecs[0]
            return codec.pli, codec.fir

        assert asked("a=rtcp-fb:* nack pli") == (True, False)
        assert asked("a=rtcp-fb:96 ccm fir") == (False, True)
        assert asked("a=rtcp-fb:* ccm fir", "a=rtcp-fb:* nack pli") == (True, True)
        assert asked() == (False, False)


class TestExtensions:
    def test_one_id_with_two_meanings(self) -> None:
        text = session(audio("0", f"a=extmap:1 {MID}"), video("1", f"a=extmap:1 {LEVEL}"))
        with pytest.raises(NegotiationError, match="extmap id 1 is both"):
            negotiate(text)

    def test_one_meaning_with_two_ids_takes_the_first(self) -> None:
        plan = negotiate(session(audio("0", f"a=extmap:1 {MID}", f"a=extmap:2 {MID}"))).plan
        assert plan.extensions == ((1, MID),)

    @pytest.mark.parametrize("number", ["0", "256", "-1", "x", "99999999999"])
    def test_ids_outside_the_range(self, number: str) -> None:
        with pytest.raises(SdpError, match="extmap id"):
            negotiate(session(audio("0", f"a=extmap:{number} {MID}")))

    def test_id_15_and_ids_to_be_chosen_are_not_answered(self) -> None:
        lines = (f"a=extmap:15 {MID}", f"a=extmap:4096 {LEVEL}")
        assert negotiate(session(audio("0", *lines), extra=("a=extmap-allow-mixed",))).plan.extensions == ()

    def test_two_byte_ids_need_allow_mixed(self) -> None:
        section = audio("0", f"a=extmap:16 {MID}")
        assert negotiate(session(section)).plan.extensions == ()
        mixed = negotiate(session(section, extra=("a=extmap-allow-mixed",)))
        assert mixed.plan.extensions == ((16, MID),)
        assert mixed.answer.value("extmap-allow-mixed") == ""

    def test_inactive_is_not_answered_and_unknown_direction_is_refused(self) -> None:
        assert negotiate(session(audio("0", f"a=extmap:1/inactive {MID}"))).plan.extensions == ()
        with pytest.raises(SdpError, match="direction"):
            negotiate(session(audio("0", f"a=extmap:1/both {MID}")))

    def test_receiving_sections_agree_to_rids_too(self) -> None:
        """Or a later simulcast publish fails in libwebrtc."""
        rids = [
            "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            "a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        ]
        assert [number for number, _ in negotiate(session(video("0", *rids))).plan.extensions] == [10, 11]


class TestLayers:
    def layers(self, *lines: str) -> tuple[LayerSpec, ...]:
        return negotiate(session(video("0", *lines, direction="sendonly"))).plan.receive[0].layers

    def test_nothing_declared(self) -> None:
        assert self.layers() == (LayerSpec(),)

    @pytest.mark.parametrize(
        ("listed", "ordered"),
        [
            ("f;h;q", "q h f"),
            ("q;h", "q h"),
            ("h;m;l", "l m h"),
            ("2;1;0", "0 1 2"),
            ("r10;r9", "r9 r10"),
            ("low;high;mid", "low mid high"),
            ("big;small", "big small"),
            ("f", "f"),
        ],
    )
    def test_rids_lowest_first_and_answered_in_the_offers_order(self, listed: str, ordered: str) -> None:
        lines = [f"a=rid:{rid} send" for rid in reversed(listed.split(";"))]
        result = negotiate(session(video("0", *lines, f"a=simulcast:send {listed}", direction="sendonly")))
        assert [layer.rid for layer in result.plan.receive[0].layers] == ordered.split()
        assert attributes(result.answer.media[0], "simulcast") == [f"recv {listed}"]

    def test_paused_and_alternative_rids(self) -> None:
        lines = ("a=rid:a send", "a=rid:b send", "a=rid:c send", "a=simulcast:send ~a;b,c")
        assert [layer.rid for layer in self.layers(*lines)] == ["a", "b"]

    def test_more_rids_than_layers(self) -> None:
        rids = [f"a=rid:{n} send" for n in range(10)]
        assert len(self.layers(*rids)) == 4
        with pytest.raises(SdpError, match="rids"):
            self.layers(*[f"a=rid:{n} send" for n in range(100)])

    def test_fid(self) -> None:
        lines = ("a=ssrc-group:FID 5 6", "a=ssrc:5 cname:x", "a=ssrc:6 cname:x")
        assert self.layers(*lines) == (LayerSpec(ssrc=5, rtx_ssrc=6),)
        assert self.layers(lines[0], lines[2], lines[1]) == (LayerSpec(ssrc=5, rtx_ssrc=6),)

    def test_sim_group_with_fid(self) -> None:
        lines = ("a=ssrc-group:SIM 1 2", "a=ssrc-group:FID 1 11", "a=ssrc-group:FID 2 12")
        assert self.layers(*lines) == (LayerSpec(ssrc=1, rtx_ssrc=11), LayerSpec(ssrc=2, rtx_ssrc=12))

    def test_duplicate_and_contradicting_groups(self) -> None:
        lines = ("a=ssrc-group:FID 5 6", "a=ssrc-group:FID 5 6", "a=ssrc-group:FID 5 7", "a=ssrc:5 cname:x")
        assert self.layers(*lines) == (LayerSpec(ssrc=5, rtx_ssrc=6),)

    def test_ssrc_without_attribute(self) -> None:
        assert self.layers("a=ssrc:7") == (LayerSpec(ssrc=7),)

    @pytest.mark.parametrize(
        "line", ["a=ssrc:", "a=ssrc:4294967296 cname:x", "a=ssrc-group:FID", "a=ssrc-group:FID 1 x"]
    )
    def test_malformed_ssrc(self, line: str) -> None:
        with pytest.raises(SdpError, match="ssrc"):
            self.layers(line)

    def test_an_ssrc_in_two_sections(self) -> None:
        text = session(video("0", "a=ssrc:7 cname:x"), video("1", "a=ssrc:7 cname:x"))
        with pytest.raises(NegotiationError, match="SSRC 7"):
            negotiate(text)

    @pytest.mark.parametrize(
        "lines",
        [
            ("a=rid:q",),
            ("a=rid:q both",),
            ("a=rid:q send", "a=rid:q recv"),
            ("a=rid:q! send",),
            ("a=simulcast:send",),
        ],
    )
    def test_malformed_rids(self, lines: tuple[str, ...]) -> None:
        with pytest.raises(SdpError):
            self.layers(*lines)


def test_the_most_sections_are_answered_in_time() -> None:
    text = session(*(video(str(n)) for n in range(MAX_SECTIONS)))
    began = time.perf_counter()
    result = negotiate(text)
    assert time.perf_counter() - began < 1.0
    assert len(result.plan.send) == MAX_SECTIONS


def test_an_error_leaves_what_was_agreed() -> None:
    agreed = negotiate(session(audio("0"))).agreed
    with pytest.raises(NegotiationError):
        negotiate(session(audio("7")), agreed)
    assert negotiate(session(audio("0")), agreed).plan == negotiate(session(audio("0")), Agreed()).plan


def test_kinds_in_the_plan() -> None:
    plan = negotiate(session(audio("0", direction="sendrecv"), video("1", direction="sendrecv"))).plan
    assert [s.kind for s in plan.receive] == [s.kind for s in plan.send] == [MediaKind.AUDIO, MediaKind.VIDEO]
