"""The schemas of detections."""

from __future__ import annotations

from apiflask import Schema
from apiflask.fields import Boolean, Dict, List, Nested, String
from apiflask.validators import OneOf, Range, Regexp

from dip.config import Settings
from server.http.form_fields import Float, Integer, described, setting_range
from server.http.schemas import (
    LEASE,
    LEASE_S,
    ErrorDetail,
    PhotoIn,
    ProgressOut,
)
from server.jobs.job import State
from server.jobs.parameters import KINDS, SENSITIVITY

_KIND = f"(bright-|dark-)?({'|'.join(KINDS)})"
_KINDS = f"^{_KIND}(,{_KIND}){{0,8}}$"


class DetectIn(PhotoIn):
    """A photo to find the damage of."""

    seed = Integer(validate=setting_range("seed"), load_default=Settings.seed)
    lease_s = Float(validate=LEASE_S, metadata=LEASE)


class LevelsQuery(Schema):
    quick = Boolean(
        load_default=False,
        metadata=described(
            "`true`: what can be found without a network, at once, also while the detection waits "
            "or runs."
        ),
    )


class MarksQuery(LevelsQuery):
    sensitivity = Float(
        validate=Range(min=0, max=1),
        load_default=SENSITIVITY,
        metadata=described("0 marks nothing; 1 marks all that may be damage."),
    )
    kinds = String(
        validate=Regexp(_KINDS),
        load_default=",".join(KINDS),
        metadata=described(
            "Of " + ", ".join(f"`{kind}`" for kind in KINDS) + ", with commas between them; each "
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


class DetectionOut(Schema):
    id = String(required=True)
    state = String(required=True, validate=OneOf([state.value for state in State]))
    user = String(required=True, metadata=described("Empty for the owner of the service."))
    photo = String(required=True)
    seed = Integer(required=True)
    created = String(required=True)
    started = String(allow_none=True)
    ended = String(allow_none=True)
    attempts = Integer(required=True)
    ahead = Integer(allow_none=True, metadata=described("The number of jobs before this one."))
    progress = Nested(ProgressOut, allow_none=True)
    found = Nested(FoundOut, allow_none=True)
    error = Nested(ErrorDetail, allow_none=True)
    lease_s = Float(allow_none=True)
    lease_until = String(allow_none=True)
    notes = List(String(), required=True)
    bytes = Integer(required=True)
    url = String(required=True)
    levels_url = String(required=True)
    mask_url = String(required=True)
    events_url = String(required=True)
