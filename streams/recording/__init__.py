"""Recorded logs: topics as files, written and read back."""
