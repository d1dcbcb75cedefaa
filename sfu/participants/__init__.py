"""One member of a room: what it may do, what it publishes and receives, how it is spoken to."""
