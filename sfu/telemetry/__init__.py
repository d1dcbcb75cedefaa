"""What operators see: metrics, logs, health, traces. Reads the domain through its observer, never the other way."""
