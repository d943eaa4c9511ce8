"""The simulated listening world: its truth is known, so precision is exact."""
