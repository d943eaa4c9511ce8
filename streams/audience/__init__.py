"""Listeners: what they heard, where they stand, the crowds of a song, and who fits a release."""
