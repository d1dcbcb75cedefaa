"""What `airside dev` and `airside serve` make of the same settings. Pure."""

from __future__ import annotations

from sfu.settings.models import Settings
from sfu.settings.sources import SettingsError

DEV_KEYS = {"devkey": "secret"}  # LiveKit's development key: every example of every SDK works
MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: as long as the hash of HS256


def for_development(settings: Settings) -> Settings:
    """A known key where there is none, and loopback announced unless that was refused."""
    changes: dict[str, object] = {}
    if not settings.keys:
        changes["keys"] = DEV_KEYS
    if "announce_loopback" not in settings.rtc.model_fields_set:
        changes["rtc"] = settings.rtc.model_copy(update={"announce_loopback": True})
    return settings.model_copy(update=changes)


def for_production(settings: Settings) -> Settings:
    """The settings as they are.

    Raises:
        SettingsError: There is no API key.
    """
    if not settings.keys:
        raise SettingsError(["keys: at least one API key is needed, or nobody can join"])
    return settings


def weak_keys(settings: Settings) -> list[str]:
    """A warning for each secret that can be guessed."""
    return [
        f"keys.{name}: the secret has fewer than {MIN_SECRET_BYTES} bytes and can be guessed"
        for name, secret in settings.keys.items()
        if len(secret.encode()) < MIN_SECRET_BYTES
    ]
