"""Published media and the wish for it. Pure."""
