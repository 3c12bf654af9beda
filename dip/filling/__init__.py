"""Filling without a network: membrane, kriging and patches copied from the surroundings."""
