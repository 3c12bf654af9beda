"""Fetches free photographs for `learn_damage.py`: `free_photos.py FOLDER`.

They come from packages of Debian, through `apt-get download`, and none is in the repository. Every
seventh is kept aside, in FOLDER/aside, for `bench_detection.py --photos`; the others lie in
FOLDER/learn. Pictures that are drawn are left out. Each package names authors and licences in its
`copyright`:

- gcompris-qt-data: animals, buildings, people who make music, mostly of Wikimedia Commons (CC0, CC
  BY, CC BY-SA, GFDL, public domain) and of its authors (GPL, AGPL).
- lomiri-wallpapers-16.04, -20.04: CC0, CC BY 4.0, CC BY-SA 3.0 and 4.0.
- mate-backgrounds: GPL 2 and later.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

LONGEST_PX, SHORTEST_PX = 1600, 480
ASIDE_EVERY = 7
RESOURCES = (
    "erase", "explore_farm_animals", "explore_monuments", "explore_world_animals",
    "explore_world_music",
)  # fmt: skip
"""Qt resource files of gcompris-qt-data that hold photographs."""

WALLPAPERS = {
    "lomiri-wallpapers-16.04": (
        "Picture_0B_by_freespace", "Picture_1A_by_freespace", "Wine_by_Jakkub_Mede",
        "greentock_by_Peter_Nerlich", "free_by_Peter_Nerlich", "Bridge_by_Sander_Klootwijk",
        "seeding_by_Clements_Engelhardt", "aitzgorri_by_Aitzol_Berasategi",
        "friends_by_Aitzol_Berasategi", "sunset_by_Aitzol_Berasategi",
        "picosdeeuropa_by_Aitzol_Berasategi", "life_by_Aitzol_Berasategi", "Dragonfly_by_Bolly",
    ),
    "lomiri-wallpapers-20.04": ("Kleiber_by_Lukas_Baubkus",),
    "mate-backgrounds": (
        "Aqua", "Blinds", "Dune", "GreenMeadow", "RainDrops", "Storm", "TwoWings", "Wood",
    ),
}  # fmt: skip


def unpack(package: str, folder: Path) -> Path:
    """Download a package and unpack it."""
    subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True)
    (file,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "-x", file, folder / package], check=True)
    return folder / package


def of_resource(file: Path) -> Iterator[Image.Image]:
    """The WebP pictures in a Qt resource file, which stores them as they are."""
    data = file.read_bytes()
    at = data.find(b"RIFF")
    while at >= 0:
        length = 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at + 8 : at + 12] == b"WEBP":
            yield Image.open(io.BytesIO(data[at : at + length]))
        at = data.find(b"RIFF", at + 4)


def photographs(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """All photographs with their names; `folder` takes what is downloaded."""
    games = unpack("gcompris-qt-data", folder) / "usr/share/gcompris-qt/rcc"
    for resource in RESOURCES:
        for number, picture in enumerate(of_resource(games / f"{resource}.rcc")):
            yield f"{resource}-{number:02d}", picture
    for package, names in WALLPAPERS.items():
        root = unpack(package, folder)
        for name in names:
            (path,) = root.rglob(f"{name}.jpg")
            yield name, Image.open(path)


def main() -> None:
    """Write the photographs as JPEG files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    for part in ("learn", "aside"):
        (args.folder / part).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        number = 0
        for name, picture in photographs(Path(downloads)):
            if picture.mode != "RGB" or min(picture.size) < SHORTEST_PX:
                continue
            picture.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
            part = "aside" if number % ASIDE_EVERY == 0 else "learn"
            picture.save(args.folder / part / f"{name}.jpg", quality=96, subsampling=0)
            number += 1
    print(f"{number} photographs are in {args.folder}")


if __name__ == "__main__":
    main()
