"""The local restoration service: HTTP around `dip`.

There are two processes. The HTTP process imports no torch and decodes no image. The worker process
imports torch, takes jobs from the store and writes their results. They share one folder, with an
SQLite database of jobs and events, and with the images as files.
"""
