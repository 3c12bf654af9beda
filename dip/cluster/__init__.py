"""Work on an existing Dask cluster, for `dip batch` and `dip serve`.

Nothing is imported here: the options are declared by every `dip`, whether or not Dask is installed.
"""
