"""`dip batch`: every photo of a folder, on this machine or over a cluster.

Nothing is imported here: `python -m dip.batch.fit_worker` must start quickly.
"""
