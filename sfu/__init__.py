"""Airside: a self-hosted selective forwarding unit. This package is the control plane."""
