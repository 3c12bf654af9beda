"""`dip bench`: quality, time and memory of restorations over a folder of cases.

Each measured restoration imports this package (`python -m dip.bench.worker`), so it imports
nothing.
"""
