"""The files of the page, in memory, at addresses that contain a hash of their content.

A browser may cache them forever: a changed file has a new address. The page itself names them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "static"
_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE = "index.html"
_PLACEHOLDER = "{{assets}}"

CACHE_FOREVER = "public, max-age=31536000, immutable"
"""Cache-Control of every file except the page itself."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file of the page.

    Parameters
    ----------
    data : bytes
    media_type : str
    """

    data: bytes
    media_type: str


@dataclass(frozen=True, kw_only=True)
class Assets:
    """All files of the page.

    Parameters
    ----------
    version : str
        16 hexadecimal digits: a hash of all files. Scripts import each other by relative addresses,
        so all files share one version.
    files : dict
        By path in the folder, such as `view/stage.js`. A request is looked up here, never on disk.
    page : bytes
        HTML.
    """

    version: str
    files: dict[str, Asset]
    page: bytes

    @classmethod
    def read(cls, folder: Path = _FOLDER) -> Assets:
        """Read the files of a folder and its subfolders."""
        paths = sorted(path for path in folder.rglob("*") if path.suffix in _MEDIA_TYPES)
        files = {
            path.relative_to(folder).as_posix(): Asset(
                data=path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix]
            )
            for path in paths
        }
        digest = hashlib.sha256()
        for name, asset in files.items():
            digest.update(f"{name} {len(asset.data)}\n".encode())
            digest.update(asset.data)
        version = digest.hexdigest()[:16]
        page = (folder / _PAGE).read_text(encoding="utf-8")
        return cls(
            version=version,
            files=files,
            page=page.replace(_PLACEHOLDER, f"/static/{version}").encode(),
        )
