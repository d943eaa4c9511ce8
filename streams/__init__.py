"""The live system and its replay."""
