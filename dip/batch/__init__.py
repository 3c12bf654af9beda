"""`dip batch`: every photo of a folder, on this machine or over a cluster.

The process that fits starts here too (`python -m dip.batch.fit_worker`): nothing is imported here.
"""
