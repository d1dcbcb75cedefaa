"""What operators see: metrics, logs, health, traces. Hears of the domain through its observer."""
