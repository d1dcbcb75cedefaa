"""What one peer's transport is agreed to be. ICE, DTLS, SRTP and SCTP themselves run in the packet plane."""
