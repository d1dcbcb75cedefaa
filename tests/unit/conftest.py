"""Settings of all unit tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # how long one example takes says nothing here
settings.load_profile("any machine")
