"""Read, describe and write mutated files in a process of its own, and report each end.

    python tests/dip/image_io/fuzz.py SECONDS SEED

Prints a line of JSON: cases, results, refusals, and the mutations that ended otherwise. The process
itself is the last check: a crash, a hang or a library that ends it is seen by the caller, which
finds the bytes of the last case in the file named by DIP_FUZZ_CASE.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from pathlib import Path

from dip.errors import DipError
from dip.image_io import Limits, encode_photo, losses, read_photo

LIMITS = Limits(pixels=4_000_000, bytes=4_000_000)
LONGEST_S = 30.0
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xff\xd8",
    b"\0\1",
)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A file with one to eight faults, most of them where headers are."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        where = int(chance.random() ** chance.choice((1, 3)) * max(1, len(changed) - 8))
        kind = chance.randrange(6)
        if kind == 0:
            changed[where] ^= 1 << chance.randrange(8)
        elif kind == 1:
            piece = chance.choice(_INTERESTING)
            changed[where : where + len(piece)] = piece
        elif kind == 2:
            del changed[where : where + chance.randint(1, 40)]
        elif kind == 3:
            changed[where:where] = chance.randbytes(chance.randint(1, 20))
        elif kind == 4:
            source = chance.randrange(len(changed))
            piece = bytes(changed[source : source + chance.randint(1, 64)])
            changed[where : where + len(piece)] = piece
        else:
            number = chance.choice((0, 1, 2, 0xFFFF, 0x7FFFFFFF, len(data), len(data) - 1))
            order = chance.choice(("little", "big"))
            changed[where : where + 4] = number.to_bytes(4, order)  # type: ignore[arg-type]
        if not changed:
            break
    if chance.random() < 0.1:
        del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)


def check(data: bytes) -> str:
    """Read a file and write its result in each format; 'result' or 'refused'."""
    try:
        photo = read_photo(data, limits=LIMITS)
    except DipError:
        return "refused"
    for form in ("png", "tiff", "webp", "jpeg"):
        losses(photo, form)
        try:
            result = encode_photo(photo.pixels, form, like=photo)
        except DipError:
            continue
        if form == "jpeg":
            continue
        again = read_photo(result, name="the result")
        if again.pixels.shape == photo.pixels.shape and (
            again.pixels.tobytes() != photo.pixels.tobytes()
        ):
            raise AssertionError(f"the {form} result has other samples")
    return "result"


def main() -> int:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2])
    folder = Path(sys.argv[3])
    case = Path(os.environ.get("DIP_FUZZ_CASE", os.devnull))
    originals = [path.read_bytes() for path in sorted(folder.iterdir())]
    chance = random.Random(seed)
    ends = {"cases": 0, "result": 0, "refused": 0}
    faults: dict[str, str] = {}
    slowest = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = mutate(chance.choice(originals), chance)
        if case != Path(os.devnull):
            case.write_bytes(data)
        began = time.monotonic()
        ends["cases"] += 1
        try:
            ends[check(data)] += 1
        except Exception as error:  # the edge of a case: each kind of fault is reported once
            place = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} {place.name}:{place.lineno}"
            if key not in faults:
                faults[key] = f"{error}"[:200]
                (case.parent / f"fault_{len(faults)}").write_bytes(data)
        slowest = max(slowest, time.monotonic() - began)
    print(json.dumps({**ends, "faults": faults, "slowest_s": round(slowest, 2)}))
    return 1 if faults or slowest > LONGEST_S else 0


if __name__ == "__main__":
    sys.exit(main())
