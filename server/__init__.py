"""The local restoration service: HTTP around `dip`.

Two processes. The one that speaks HTTP imports no torch and decodes no image; the worker owns
torch, takes jobs from the store and writes back what became of them. They share one folder: an
SQLite store of jobs and events, and the pixels as files beside it.
"""
