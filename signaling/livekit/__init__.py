"""LiveKit's wire at the edge: unmodified LiveKit SDKs against this server. The core knows nothing of it."""
