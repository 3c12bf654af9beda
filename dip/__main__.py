"""`dip`, and `python -m dip`: the process of the command line.

Ctrl-C during the imports ends the process at once and silently, as it ends any program. In the
first tenth of a second, in which Python itself starts, no program can catch it: Python then prints
a traceback of its own that ends with KeyboardInterrupt, and nothing has begun.
"""

# `signal` itself takes milliseconds to import, in which Ctrl-C would show a traceback.
import _signal  # type: ignore[import-not-found]


def run() -> None:
    """Run the command line."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    import signal

    if hasattr(signal, "pthread_sigmask"):  # `dip.cli` blocks it while it restarts the process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    from dip.cli import console

    signal.signal(signal.SIGINT, signal.default_int_handler)
    console()


if __name__ == "__main__":
    run()
