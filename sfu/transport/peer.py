"""One transport seen from here: sections wanted beside sections agreed. Sans-IO.

peer = Peer(local, CodecPolicy(), new_slot, new_credentials)
negotiation = peer.handle_offer(text)      # send `negotiation.answer`, tell the plane `negotiation.plan`
peer.want(audio=5, video=4)
if missing := peer.missing():              # ask the client for so many sections
    ...
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import Mid
from sfu.transport.errors import NegotiationError
from sfu.transport.lifecycle import Lifecycle, Signal
from sfu.transport.plan import SlotIds, TransportPlan
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Negotiation, Slot, SlotRule, make_plan
from sfu.transport.sdp.answering import MsidOf
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import parse
from sfu.transport.sdp.negotiate import answer, is_ice_restart, slot_msid
from sfu.transport.sdp.offer import Offered, WantedSection, accept, offer


@dataclass(frozen=True, slots=True)
class SectionCount:
    """So many sections of each kind. False when there are none."""

    audio: int = 0
    video: int = 0

    def __bool__(self) -> bool:
        return bool(self.audio or self.video)


@dataclass(frozen=True, slots=True)
class Considered:
    """An offer that could be agreed to."""

    negotiation: Negotiation
    local: LocalDescription
    """Our side from then on."""


class Peer:
    """State of one transport's negotiation. A call that raises changes nothing."""

    def __init__(
        self,
        local: LocalDescription,
        policy: CodecPolicy,
        new_slot: Callable[[], SlotIds],
        new_credentials: Callable[[], tuple[str, str]],
    ) -> None:
        """
        Args:
            local: Our side, for the first negotiation.
            policy: Codecs; may be replaced between negotiations.
            new_slot: Allocates a slot with its SSRCs.
            new_credentials: ICE user fragment and password for a restart.
        """
        self.local = local
        self.policy = policy
        self.agreed = Agreed()
        self.lifecycle = Lifecycle()
        self._new_slot = new_slot
        self._new_credentials = new_credentials
        self._wanted = SectionCount()
        self._pending: Offered | None = None

    @property
    def plan(self) -> TransportPlan | None:
        """What is agreed, in the packet plane's words; None before the first negotiation."""
        return None if self.agreed.remote is None else make_plan(self.agreed)

    def consider(
        self,
        text: str | bytes,
        *,
        refused: Collection[Mid] = (),
        plain: Collection[Mid] = (),
        slot_rule: SlotRule = SlotRule.ANY,
        msid: MsidOf = slot_msid,
        preferred: Mapping[Mid, Codec] | None = None,
    ) -> Considered:
        """Find the answer to the peer's offer; see `negotiate.answer`. Changes nothing: see `settle`.

        `preferred` says for sections which codec the answer lists first, where it is offered.

        Raises:
            SdpError, NegotiationError: The offer cannot be agreed to.
        """
        if self._pending is not None:
            raise NegotiationError("", "an offer of ours waits for its answer")
        description = parse(text)
        local = self.local
        if is_ice_restart(self.agreed, description):
            ufrag, pwd = self._new_credentials()
            local = replace(local, ufrag=ufrag, pwd=pwd)
        negotiation = answer(
            self.agreed,
            description,
            local,
            replace(self.policy, preferred=preferred) if preferred else self.policy,
            self._new_slot,
            refused=refused,
            plain=plain,
            slot_rule=slot_rule,
            msid=msid,
        )
        return Considered(negotiation, local)

    def settle(self, considered: Considered) -> None:
        """Agree to the newest of the offers considered. An ICE restart changes `local` too."""
        self.local = considered.local
        self._settle(considered.negotiation)

    def handle_offer(
        self,
        text: str | bytes,
        *,
        refused: Collection[Mid] = (),
        plain: Collection[Mid] = (),
        slot_rule: SlotRule = SlotRule.ANY,
        msid: MsidOf = slot_msid,
    ) -> Negotiation:
        """`consider` and `settle` in one, for owners with nothing to ask in between.

        Raises:
            SdpError, NegotiationError: Nothing has changed.
        """
        considered = self.consider(text, refused=refused, plain=plain, slot_rule=slot_rule, msid=msid)
        self.settle(considered)
        return considered.negotiation

    def offer(self, wanted: tuple[WantedSection, ...]) -> Offered:
        """Make an offer; then feed the answer to `handle_answer`.

        Raises:
            NegotiationError: One is outstanding already.
        """
        if self._pending is not None:
            raise NegotiationError("", "an offer of ours waits for its answer")
        self._pending = offer(self.agreed, wanted, self.local, self.policy)
        return self._pending

    def handle_answer(self, text: str | bytes) -> Negotiation:
        """Take the answer to `offer`. One that cannot be agreed to leaves the offer outstanding.

        Raises:
            SdpError, NegotiationError: Nothing has changed.
        """
        if self._pending is None:
            raise NegotiationError("", "an answer without an offer of ours")
        negotiation = accept(self._pending, parse(text))
        self._pending = None
        self._settle(negotiation)
        return negotiation

    @property
    def offering(self) -> bool:
        """An offer of ours waits for its answer."""
        return self._pending is not None

    def restart_ice(self) -> None:
        """Use new credentials in the next offer of ours."""
        ufrag, pwd = self._new_credentials()
        self.local = replace(self.local, ufrag=ufrag, pwd=pwd)

    def withdraw(self) -> None:
        """Forget the outstanding offer, if there is one: the peer gave up on it."""
        self._pending = None

    def renew_slot(self, mid: Mid) -> None:
        """Give an agreed section that we send in another stream, in place of the one it has."""
        sections = tuple(
            replace(section, slots=(Slot(self._new_slot()),))
            if section.mid == mid and section.slots
            else section
            for section in self.agreed.sections
        )
        self.agreed = replace(self.agreed, sections=sections)

    def want(self, *, audio: int, video: int) -> None:
        """So many sections that we send in are wanted, of those agreed and yet to come."""
        self._wanted = SectionCount(audio, video)

    def missing(self) -> SectionCount:
        """How many more sections the peer should offer."""
        return SectionCount(
            max(0, self._wanted.audio - self._sending(MediaKind.AUDIO)),
            max(0, self._wanted.video - self._sending(MediaKind.VIDEO)),
        )

    def _sending(self, kind: MediaKind) -> int:
        return sum(section.sends for section in self.agreed.sections if section.kind == kind.value)

    def _settle(self, negotiation: Negotiation) -> None:
        self.agreed = negotiation.agreed
        self.lifecycle.handle(Signal.NEGOTIATED)

    def debug_state(self) -> dict[str, object]:
        """As plain JSON. Neither credentials nor addresses."""
        return {
            "state": self.lifecycle.state.value,
            "version": self.agreed.version,
            "wanted": {"audio": self._wanted.audio, "video": self._wanted.video},
            "offer_outstanding": self._pending is not None,
            "sections": [
                {
                    "mid": section.mid,
                    "kind": section.kind,
                    "rejected": section.rejected,
                    "sends": section.sends,
                    "receives": section.receives,
                    "codecs": [item.codec.codec.value for item in section.codecs],
                    "slots": [slot.ids.slot for slot in section.slots],
                }
                for section in self.agreed.sections
            ],
        }
