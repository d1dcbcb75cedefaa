"""Turns bytes of clients into service calls, and events into bytes."""
