"""What the worker says of itself over HTTP: metrics, liveness, readiness."""
