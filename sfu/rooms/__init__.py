"""Rooms: every rule that spans participants."""
