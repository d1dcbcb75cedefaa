"""SDP by pure functions: `grammar` is text to model, `negotiate` offer to answer, `offer` our own offers."""
