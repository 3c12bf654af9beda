"""Filling without a network: membrane, kriging, and copies of the surroundings."""
