"""The packet plane seen from Python: one typed facade over the native module."""
