"""Airside's own signaling dialect: JSON text frames over one WebSocket, described in PROTOCOL.md."""
