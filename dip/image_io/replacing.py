"""Files that are replaced at once or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dip.errors import OutputError
from dip.image_io.vips import FAILURES, said_by
from dip.machine.disk import flush


def write_file(path: Path | str, data: bytes | memoryview) -> None:
    """Write the bytes of a file, such as `encode_photo` gives, as `write_photo` does."""
    path = Path(path).resolve()
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextmanager
def replacing(path: Path, *, keep: bool = True) -> Iterator[Path]:
    """Yield a name beside a file; put what was written there in its place once it is on disk."""
    beside = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        yield beside
        if keep:
            if path.exists():
                beside.chmod(path.stat().st_mode & 0o777)
            flush(beside)
            beside.replace(path)
            flush(path.parent)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Name another file or folder."
        ) from error
    except FAILURES as error:
        reason = " ".join(said_by(error).split()) or "the disk may be full"
        raise OutputError(
            f"{path} cannot be written: {reason}.", "Is the disk full? Name another folder."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
