"""The schemas of detections."""

from __future__ import annotations

from apiflask import Schema
from apiflask.fields import Boolean, Dict, File, Nested, String
from apiflask.validators import Range, Regexp

from dip.config import PAGE_NUMBER, Settings
from dip.regions.rules import DAMAGE_KINDS, DEFAULT_SENSITIVITY
from server.http.form_fields import Float, Integer, described, setting_range
from server.http.schemas import LEASE, LEASE_S, PhotoIn, SubmittedOut

_KIND = f"(bright-|dark-)?({'|'.join(DAMAGE_KINDS)})"
_KINDS = f"^{_KIND}(,{_KIND}){{0,8}}$"


class DetectIn(PhotoIn):
    """A photo to find the damage of."""

    infrared = File(
        metadata=described(
            "The scanner's infrared plane: a gray image file of the size of the image. The damage "
            "is then found in it, unless the film is silver or Kodachrome. Without it, the plane "
            "in the file of the image is used, if there is one."
        )
    )
    ignore_infrared = Boolean(
        load_default=False,
        metadata=described(
            "Find the damage in the colours, even if the file has an infrared plane."
        ),
    )
    seed = Integer(validate=setting_range("seed"), load_default=Settings.seed)
    page = String(
        validate=Regexp(f"^{PAGE_NUMBER}$(?!\\n)"),
        metadata=described(
            "The page of a TIFF, from 1. By default the first one that is no reduced copy."
        ),
    )
    lease_s = Float(validate=LEASE_S, metadata=LEASE)


class LevelsQuery(Schema):
    quick = Boolean(
        load_default=False,
        metadata=described(
            "`true`: the damage that is found without a network, at once, also while the detection "
            "waits or runs."
        ),
    )


class MarksQuery(LevelsQuery):
    sensitivity = Float(
        validate=Range(min=0, max=1),
        load_default=DEFAULT_SENSITIVITY,
        metadata=described("0 marks nothing; 1 marks all that may be damage."),
    )
    kinds = String(
        validate=Regexp(_KINDS),
        load_default=",".join(DAMAGE_KINDS),
        metadata=described(
            f"Of {', '.join(f'`{kind}`' for kind in DAMAGE_KINDS)}, with commas between them; each "
            "may begin with `bright-` or `dark-`."
        ),
    )
    largest = Integer(
        validate=Range(min=1, max=1_000_000),
        metadata=described("Leave out marks whose longer side is longer than this, px."),
    )


class FoundOut(Schema):
    height = Integer(required=True)
    width = Integer(required=True)
    marks = Dict(
        keys=String(),
        values=Integer(),
        required=True,
        metadata=described("The number of each kind at the default sensitivity."),
    )
    share = Float(required=True, metadata=described("Of the pixels, at the default sensitivity."))


class DetectionOut(SubmittedOut):
    seed = Integer(required=True)
    page = String(allow_none=True, required=True)
    found = Nested(FoundOut, allow_none=True)
    levels_url = String(required=True)
    mask_url = String(required=True)
