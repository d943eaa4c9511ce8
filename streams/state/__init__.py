"""State as a cache of the log: stores, their layout, checkpoints."""
