"""`python -m dip` is `dip`."""

from dip.cli import console

if __name__ == "__main__":
    console()
