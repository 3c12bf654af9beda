"""Learn from hidden known pixels to correct a kriged fill: for damage that is scattered all over.

Where every other pixel is missing, an interpolation is near the truth already, and what it gets
wrong (an edge, a stripe that bends) can be learned from the image itself: some known pixels are
hidden, the rest is kriged, and the network is fitted to put right what the fill got wrong at the
hidden ones. What it has learned then corrects the fill of the pixels that are really missing.

Sources: hiding pixels of the one image there is: Batson, Royer, *Noise2Self*, ICML 2019,
arXiv:1901.11365; Quan et al., *Self2Self with dropout*, CVPR 2020. What differs: the network starts
from a kriged fill and learns the difference; the answers of mirrored images are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dip.config import Damage, FitConfig
from dip.filling.kriging import krige_image
from dip.fitting.fit import Fit
from dip.fitting.validation import Validation
from dip.machine.device import Compute

FOLDS = 8
"""Different choices of hidden pixels, at most; a fit of few iterations needs no more than half.

The first is kept from the loss, and measures quality."""

_HIDDEN_PART = 0.12
_SEEN_WEIGHT = 0.2
"""Known pixels that the network was shown count this much: it leaves them as they are."""

_MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


class Correction(Fit):
    """A network being fitted to what a kriged fill gets wrong; else as `dip.fitting.fit.Fit`."""

    def __init__(
        self,
        target: NDArray[np.float32],
        known: NDArray[np.bool_],
        config: FitConfig,
        *,
        compute: Compute,
        damage: Damage = "scattered",
        seed: int = 0,
    ) -> None:
        super().__init__(target, known, config, compute=compute, damage=damage, seed=seed)
        self._rng = np.random.default_rng(seed)
        self._pixels, self._is_known = target, known
        self._folds = min(FOLDS, 3 + config.iterations // 10)
        self._order = self._rng.random(known.shape)
        self._fold = cache(self._make_fold)  # made when they are first asked for
        self._validation_code, hidden = self._fold(0)
        self._validation = (
            Validation(self._target, hidden[0, 0].bool(), averages=False) if hidden.any() else None
        )

    def _make_code(
        self, target: NDArray[np.float32], known: NDArray[np.bool_], generator: torch.Generator
    ) -> Tensor:
        return _code(target, known)

    def _make_fold(self, number: int) -> tuple[Tensor, Tensor]:
        """The code (1, C + 1, H, W) without some of the known pixels, and these, (1, 1, H, W)."""
        place = (self._order - number * _HIDDEN_PART) % 1
        hidden = self._is_known & (place < _HIDDEN_PART)
        code = _code(self._pixels, self._is_known & ~hidden)
        return self._place(code), self._place(torch.from_numpy(hidden).float()[None, None])

    def _ask(self) -> tuple[Tensor, Tensor, Tensor]:
        code, hidden = self._fold(int(self._rng.integers(1, self._folds)))
        mirror = _MIRRORS[self._rng.integers(len(_MIRRORS))]
        weight = _SEEN_WEIGHT * self._known + (1 - _SEEN_WEIGHT) * hidden
        code, target, weight = (each.flip(mirror) for each in (code, self._target, weight))
        return code, target, weight

    def _state(self) -> list[Tensor]:
        return list(self._network.parameters())

    def _estimate(self) -> list[Tensor]:
        # Unlike outputs, parameters of earlier moments only do harm to a mean.
        validation = self._validation
        spoiled = validation.kept if validation and validation.spoiled else None
        return spoiled or self._state()

    @torch.no_grad()
    def _answer(self, state: Sequence[Tensor]) -> Tensor:
        names = [name for name, _ in self._network.named_parameters()]
        named = dict(zip(names, state, strict=True))
        answers = [
            self._evaluate(self._code.flip(mirror), named).flip(mirror) for mirror in _MIRRORS
        ]
        return torch.stack(answers).mean(0).clamp(0, 1)

    @torch.no_grad()
    def _measure(self, validation: Validation) -> Tensor:
        return validation.measure(self._evaluate(self._validation_code))


def _code(target: NDArray[np.float32], known: NDArray[np.bool_]) -> Tensor:
    """(1, C + 1, H, W): the kriged fill, and which pixels of it are known."""
    fill = torch.from_numpy(krige_image(target, known)).permute(2, 0, 1)
    trusted = torch.from_numpy(known).float()[None] - 0.5
    return torch.cat([fill, trusted]).unsqueeze(0)
