"""The processes that fit jobs, here or on a Dask cluster, and the dispatchers that start them."""
