"""The errors of `dip`, with their codes and exit statuses.

::

    DipError                     code                  exit status
    ├── SettingError             setting_invalid        2
    ├── InputError               image_unreadable       3
    │   ├── ImageTooLarge        image_too_large        3
    │   ├── ImageTooSmall        image_too_small        3
    │   ├── InfraredUnusable     infrared_unusable      3
    │   └── SamplesNotFinite     samples_not_finite     3
    ├── MaskError                mask_invalid           4
    │   ├── MaskSizeMismatch     mask_size_mismatch     4
    │   ├── MaskEmpty            mask_empty             4
    │   ├── MaskMayBeInverted    mask_may_be_inverted   4
    │   ├── TooFewKnownPixels    too_few_known_pixels   4
    │   └── TooMuchFound         too_much_found         4
    ├── OutputError              output_unwritable      5
    ├── DeviceUnavailable        device_unavailable     6
    ├── NotEnoughMemory          not_enough_memory      7
    ├── DetectionCancelled       detection_cancelled  130
    ├── FitFailed                fit_failed             8
    │   └── ProcessDied          process_died           8
    ├── ClusterError             cluster_unavailable    9
    └── ReferenceUnavailable     reference_unavailable  1   (dip.bench.reference)

A code does not change: scripts, the service and the plug-in rely on it. The message describes the
problem; the hint is advice for the user. Both texts stand where the error is raised: about masks
in `dip/regions/mask.py`, about image files in `dip/image_io/`. The plug-in and the page have their
own messages for cases that they refuse before they send anything, and translations by code.
"""


class DipError(Exception):
    """An error that the user can understand and act on.

    Parameters
    ----------
    message : str
        The problem, in one sentence.
    hint : str
        The advice, in one sentence.
    """

    code = "error"
    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def as_dict(self) -> dict[str, str]:
        """Return the error as a mapping for JSON."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint)


class SettingError(DipError):
    """A setting that is unknown or out of range."""

    code = "setting_invalid"
    exit_status = 2


class InputError(DipError):
    """An image file that cannot be read."""

    code = "image_unreadable"
    exit_status = 3


class ImageTooLarge(InputError):
    """More pixels or bytes than the limits allow; nothing was decoded."""

    code = "image_too_large"


class ImageTooSmall(InputError):
    """Too few pixels for a network to learn from."""

    code = "image_too_small"


class InfraredUnusable(InputError):
    """An infrared plane that does not belong to the photo, or is damaged."""

    code = "infrared_unusable"


class SamplesNotFinite(InputError):
    """A floating-point image with NaN or infinite known samples."""

    code = "samples_not_finite"


class MaskError(DipError):
    """A mask that cannot be used with this image."""

    code = "mask_invalid"
    exit_status = 4


class MaskSizeMismatch(MaskError):
    """Mask and image differ in size."""

    code = "mask_size_mismatch"


class MaskEmpty(MaskError):
    """No pixel is marked for restoration."""

    code = "mask_empty"


class MaskMayBeInverted(MaskError):
    """The mask marks most of the image, and nobody has confirmed that this is meant."""

    code = "mask_may_be_inverted"


class TooFewKnownPixels(MaskError):
    """The mask leaves fewer known pixels than a fit needs."""

    code = "too_few_known_pixels"


class TooMuchFound(MaskError):
    """The search for damage marks more of a photo than damage is likely to cover."""

    code = "too_much_found"


class OutputError(DipError):
    """A result that cannot be written to the requested place."""

    code = "output_unwritable"
    exit_status = 5


class DeviceUnavailable(DipError):
    """The requested compute device is not available on this machine."""

    code = "device_unavailable"
    exit_status = 6


class NotEnoughMemory(DipError):
    """A fit does not fit into memory, even in tiles."""

    code = "not_enough_memory"
    exit_status = 7


class DetectionCancelled(DipError):
    """The search for damage was cancelled; there is no result."""

    code = "detection_cancelled"
    exit_status = 130


class FitFailed(DipError):
    """The fit diverged repeatedly, and there is no usable result."""

    code = "fit_failed"
    exit_status = 8


class ProcessDied(FitFailed):
    """The process ended while it worked on a photo."""

    code = "process_died"


class ClusterError(DipError):
    """A cluster that cannot be reached or used."""

    code = "cluster_unavailable"
    exit_status = 9
