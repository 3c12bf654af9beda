"""Correction: the network learns the error of a kriged fill, for damage that is scattered all over.

Where every other pixel is missing, an interpolation is already near the truth. Its errors (at an
edge, or at a stripe that bends) can be learned from the image itself: some known pixels are hidden,
the fill is kriged from the rest, and the network learns to correct it at the hidden pixels. Then
the network corrects the fill of the pixels that are really missing.

Sources: hidden pixels of a single image: Batson, Royer, *Noise2Self*, ICML 2019, arXiv:1901.11365;
Quan et al., *Self2Self with dropout*, CVPR 2020. Differences: the network starts from a kriged fill
and learns the difference; the corrections of mirrored images are averaged.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dip.filling.kriging import krige_image
from dip.fitting.model import Model, image_tensor, mask_tensor, place
from dip.fitting.optimizers import Scalar
from dip.fitting.validation import Validation, is_flat
from dip.machine.device import Compute

FOLDS = 8
"""Different choices of hidden pixels, at most; a fit of few iterations needs no more than half.

The first is held out of the loss, and measures quality."""

_HIDDEN_FRACTION = 0.12
_SEEN_WEIGHT = 0.2
"""Weight of known pixels that the input contains: the network learns to leave them as they are."""

_MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


class Correction:
    """The objective of a network that corrects a kriged fill; see `Objective`.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32 in [0, 1]; unknown pixels are ignored.
    known : ndarray
        (H, W) bool
    iterations : int
    compute : Compute
    seed : int
    """

    def __init__(
        self,
        target: NDArray[np.float32],
        known: NDArray[np.bool_],
        iterations: int,
        *,
        compute: Compute,
        seed: int,
    ) -> None:
        self._pixels = np.where(known[:, :, None], target, np.float32(0))
        self._known = known
        self._compute = compute
        self._rng = np.random.default_rng(seed)
        self._fold_count = min(FOLDS, 3 + iterations // 10)
        self._order = self._rng.random(known.shape)
        self._folds: dict[int, tuple[Tensor, Tensor]] = {}
        self.target = image_tensor(self._pixels, compute)
        self._known_weight = mask_tensor(known, compute)
        self.code = place(_code(self._pixels, known), compute)
        self.initial_colour: Tensor | None = None  # a correction starts at zero
        self.tensors: list[Tensor] = []
        self._validation_code, hidden = self._fold(0)
        self.validation: Validation | None = None
        if hidden.any():
            where = hidden[0, 0].bool()
            flat = is_flat(self._pixels, known, where.cpu().numpy())
            self.validation = Validation(self.target, where, averages=False, flat=flat)

    def _fold(self, number: int) -> tuple[Tensor, Tensor]:
        """Return a code (1, C + 1, H, W) that hides known pixels, and these, (1, 1, H, W)."""
        if number not in self._folds:
            place_in_order = (self._order - number * _HIDDEN_FRACTION) % 1
            hidden = self._known & (place_in_order < _HIDDEN_FRACTION)
            code = place(_code(self._pixels, self._known & ~hidden), self._compute)
            self._folds[number] = code, mask_tensor(hidden, self._compute)
        return self._folds[number]

    def sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the code of a random fold, the target and weights, mirrored at random."""
        code, hidden = self._fold(int(self._rng.integers(1, self._fold_count)))
        mirror = _MIRRORS[self._rng.integers(len(_MIRRORS))]
        weight = _SEEN_WEIGHT * self._known_weight + (1 - _SEEN_WEIGHT) * hidden
        code, target, weight = (each.flip(mirror) for each in (code, self.target, weight))
        return code, target, weight

    def penalty(self, output: Tensor, weight: Scalar) -> Tensor | None:
        """Return None: there is no penalty."""
        return None

    def update(self, output: Tensor, newest: Scalar) -> None:
        """Do nothing: the image is made from the network's parameters."""

    @torch.no_grad()
    def measure(self, model: Model, validation: Validation) -> Tensor:
        """Measure the corrected pixels of the first fold."""
        return validation.measure(model(self._validation_code))

    def state(self, model: Model) -> list[Tensor]:
        """Return the network's parameters."""
        return list(model.network.parameters())

    @torch.no_grad()
    def image(self, model: Model) -> Tensor:
        """Average the corrections of the mirrored fills, in [0, 1].

        The parameters are the latest, or the best if the latest are clearly worse. Unlike outputs,
        parameters of different iterations cannot be averaged.
        """
        validation = self.validation
        best = validation.kept if validation and validation.is_worse else None
        names = [name for name, _ in model.network.named_parameters()]
        parameters = dict(zip(names, best or self.state(model), strict=True))
        images = [model(self.code.flip(mirror), parameters).flip(mirror) for mirror in _MIRRORS]
        return torch.stack(images).mean(0).clamp(0, 1)


def _code(target: NDArray[np.float32], known: NDArray[np.bool_]) -> Tensor:
    """The kriged fill and the known pixels, (1, C + 1, H, W)."""
    fill = torch.from_numpy(krige_image(target, known)).permute(2, 0, 1)
    is_known = torch.from_numpy(known).float()[None] - 0.5
    return torch.cat([fill, is_known]).unsqueeze(0)
