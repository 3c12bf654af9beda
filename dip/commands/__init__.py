"""The commands that a user types: their arguments, progress and signals."""
