"""`dip bench`: how good, how fast, how large, over a folder of cases.

Each restoration that is measured starts here too (`python -m dip.bench.worker`): nothing is
imported here.
"""
