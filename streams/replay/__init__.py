"""The live stages driven from a recorded log."""
