"""Files that are replaced atomically."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dip.errors import OutputError
from dip.image_io.vips import FAILURES, message_of
from dip.machine.disk import flush, real_path


def write_file(path: Path | str, data: bytes | memoryview, *, replace: bool = True) -> None:
    """Replace a file atomically by bytes, such as those of `encode_photo`; see `replacing`."""
    path = real_path(path)
    with replacing(path, replace=replace) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, *, keep: bool = True, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary name beside a file; move that file to `path` once it is on disk.

    Parameters
    ----------
    path : Path
    keep : bool
        Without it, the temporary file is deleted, and `path` stays as it is.
    replace : bool
        Whether a file of this name may be replaced.

    Raises
    ------
    OutputError
    """
    temporary = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        yield temporary
        if keep:
            if path.exists():
                temporary.chmod(path.stat().st_mode & 0o777)
            flush(temporary)
            if replace:
                temporary.replace(path)
            else:
                _move_to_free_name(temporary, path)
            flush(path.parent)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Name another file or folder."
        ) from error
    except FAILURES as error:
        reason = " ".join(message_of(error).split()) or "the disk may be full"
        raise OutputError(
            f"{path} cannot be written: {reason}.", "Is the disk full? Name another folder."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _move_to_free_name(temporary: Path, path: Path) -> None:
    """Rename a file; FileExistsError where another one has the name."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        temporary.replace(path)
