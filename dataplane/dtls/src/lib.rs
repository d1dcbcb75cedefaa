//! DTLS 1.2 for WebRTC on OpenSSL, driven by datagrams and the caller's clock.
