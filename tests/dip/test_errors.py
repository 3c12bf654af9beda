"""The tree of errors equals the tree in its docstring."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import dip.bench.reference  # noqa: F401  defines one of them
from dip import errors
from dip.errors import DipError


def all_kinds(kind: type[DipError] = DipError) -> Iterator[type[DipError]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("dip.") and "code" in vars(each):
            yield each  # other packages draw their own; an error without a code is its parent
            yield from all_kinds(each)


def test_the_documented_tree_is_complete() -> None:
    drawn = re.findall(r"[├└]── (\w+) +(\w+) +(\d+)", errors.__doc__ or "")
    exist = {(each.__name__, each.code, str(each.exit_status)) for each in all_kinds()}
    assert set(drawn) == exist


def test_every_code_belongs_to_one_error() -> None:
    codes = [each.code for each in all_kinds()]
    assert len(codes) == len(set(codes))


def test_errors_can_be_pickled() -> None:
    for kind in all_kinds():
        again = pickle.loads(pickle.dumps(kind("Seen.", "Do this.")))
        assert (type(again), again.message, again.hint) == (kind, "Seen.", "Do this.")
        assert str(again) == "Seen. Do this."
