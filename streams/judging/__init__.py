"""How good the targets of a replay would have been."""
