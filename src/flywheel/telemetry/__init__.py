"""How a process is watched: findings of what it needs, metrics for Prometheus, traces for OpenTelemetry."""
