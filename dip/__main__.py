"""`python -m dip` runs the command `dip`."""

from dip.cli import console

if __name__ == "__main__":
    console()
