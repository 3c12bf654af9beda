"""The lock on a file, which the batch of `dip` needs as well."""

from dip.locks import LockFile

__all__ = ["LockFile"]
