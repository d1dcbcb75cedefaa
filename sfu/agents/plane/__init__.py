"""Media by the packet plane in client role: what is per packet runs in Rust, what is per frame in PyAV."""
