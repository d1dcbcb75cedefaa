"""Who gets which track on which slot. Pure."""
