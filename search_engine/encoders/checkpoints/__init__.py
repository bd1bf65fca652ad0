"""Checkpoints on disk: where they lie, what they say, and their weights."""
