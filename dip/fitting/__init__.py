"""Fitting of a network to one region: single fits and ensembles, their validation and end."""
