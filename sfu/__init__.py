"""Airside: a self-hosted selective forwarding unit. This package is the control plane."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("airside")
except PackageNotFoundError:
    # A source tree that was never installed, as in a unit test.
    __version__ = "0.0.0"
