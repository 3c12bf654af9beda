"""Errors of the service in the user's language, by their codes."""

from __future__ import annotations

from dip_client import ClientError
from translation import _, is_translated

MESSAGES = {
    "image_too_large": _("The photograph is too large for the restoration service."),
    "image_too_small": _("The photograph is too small."),
    "too_few_known_pixels": _("Too little of the photograph is intact to fill the rest from it."),
    "queue_full": _("Too many jobs are waiting. Try again when some of them have ended."),
    "disk_full": _("The disk is full. Free some space, then try again."),
    "not_enough_memory": _("There is too little free memory. Close other programs."),
    "worker_died": _("The restoration ended unexpectedly. Try again."),
    "unreachable": _("The restoration service does not answer."),
    "untrusted_server": _("Another program answers in place of the restoration service."),
    "version_mismatch": _("The restoration service and this plug-in have different versions."),
    "token_required": _("The restoration service does not know you any more."),
    "lease_expired": _("The restoration was ended, because GIMP did not answer any more."),
    "cancelled": _("The restoration was cancelled elsewhere."),
    "internal": _("There is a fault in the restoration service."),
}
"""A message for a person, by the code of the error; the service's own message has the details."""


def told(error: ClientError) -> str:
    """The message for the user: translated, with the service's own words behind it."""
    message = MESSAGES.get(error.code)
    if message is None or not is_translated():
        return str(error)
    return f"{message} ({error})"
