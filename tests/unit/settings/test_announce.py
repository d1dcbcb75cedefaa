"""Which addresses clients are told: the rules of `rtc.announce`."""

import pytest

from sfu.settings.announce import announcement
from sfu.settings.models import RtcSettings

MACHINE = ["127.0.0.1", "::1", "172.17.0.2", "93.184.215.14", "fe80::1", "169.254.3.4", "2606:4700::5"]


def rtc(**fields: object) -> RtcSettings:
    return RtcSettings.model_validate(fields)


def test_by_default_every_address_but_loopback_public_ones_first() -> None:
    assert announcement(rtc(), MACHINE, False).addresses == ("93.184.215.14", "172.17.0.2")


def test_loopback_comes_last_where_it_is_wanted() -> None:
    found = announcement(rtc(announce_loopback=True), MACHINE, False)
    assert found.addresses == ("93.184.215.14", "172.17.0.2", "127.0.0.1")


def test_ipv6_is_announced_when_it_is_bound() -> None:
    assert "2606:4700::5" in announcement(rtc(bind=["::"]), MACHINE, False).addresses
    assert announcement(rtc(bind=["::"]), MACHINE, False).addresses[0] == "93.184.215.14"


def test_only_what_is_bound_is_announced() -> None:
    assert announcement(rtc(bind=["172.17.0.2"]), MACHINE, False).addresses == ("172.17.0.2",)
    assert announcement(rtc(bind=["127.0.0.1"]), MACHINE, False) == announcement(
        rtc(bind=["127.0.0.1"]), [], True
    )


def test_what_the_operator_names_is_taken_as_it_is() -> None:
    found = announcement(rtc(announce=["203.0.113.1"]), MACHINE, True)
    assert (found.addresses, found.warnings) == (("203.0.113.1",), ())


def test_a_container_with_private_addresses_is_warned_about() -> None:
    found = announcement(rtc(), ["127.0.0.1", "172.17.0.2"], True)
    assert found.addresses == ("172.17.0.2",)
    assert "rtc.announce" in found.warnings[0]
    assert announcement(rtc(), MACHINE, True).warnings == ()


@pytest.mark.parametrize("loopback", [False, True])
def test_a_machine_without_network_serves_itself(loopback: bool) -> None:
    found = announcement(rtc(announce_loopback=loopback), ["127.0.0.1"], False)
    assert found.addresses == ("127.0.0.1",)
    assert len(found.warnings) == (not loopback)
