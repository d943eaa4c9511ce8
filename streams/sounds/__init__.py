"""Sounds that releases name: which may be fetched, how they are, and what hears them."""
