"""The schemas of requests and responses; /openapi.json is generated from them."""

from __future__ import annotations

from apiflask import Schema, fields
from apiflask.fields import Boolean, Dict, File, List, Nested, String
from apiflask.validators import Length, OneOf, Range, Regexp

from dip.config import DEVICES, GROW_AUTO, NETWORKS, PAGE, Settings
from dip.presets import PRESETS
from dip.regions.rules import MOSTLY_ABOVE
from server.errors import MEANINGS
from server.http.form_fields import GROWTH, Float, Growth, Integer, described, setting_range
from server.jobs.job import State
from server.jobs.parameters import BOTH, FORMATS, PARTS, SAMPLE_BYTES

VALIDATION = (
    "PSNR at known pixels that were held out of the fit. Null before the first measurement, and "
    "where the picture is flat, so that every fill would have a high one."
)
SIDE_PX = Range(min=1, max=1_000_000)


LEASE = described("The job is cancelled when its lease is not renewed within this time.")
LEASE_S = Range(min=1, max=3600)


class PhotoIn(Schema):
    """A photo: a file, or raw samples."""

    image = File(
        required=True,
        metadata=described(
            "PNG, TIFF, JPEG, WebP, JPEG 2000, HEIC or AVIF; or raw samples, see `width`."
        ),
    )
    width = Integer(
        validate=SIDE_PX,
        metadata=described(
            "With `height`, `channels` and `samples`: the image is raw samples, row-first, "
            "channels interleaved, little-endian."
        ),
    )
    height = Integer(validate=SIDE_PX)
    channels = Integer(validate=Range(min=1, max=4))
    samples = String(validate=OneOf([*SAMPLE_BYTES]))


class RestoreIn(PhotoIn):
    """The image to restore, and the parameters."""

    mask = File(
        metadata=described(
            "White = restore this; same size as the image. Without a mask, the transparent pixels "
            "are restored."
        )
    )
    mask_confirmed = Boolean(
        load_default=False,
        metadata=described(
            f"Restore also where the mask marks more than {MOSTLY_ABOVE:.0%} of the image. "
            "Otherwise such a job fails with `mask_may_be_inverted`."
        ),
    )
    network = String(validate=OneOf([*NETWORKS]), load_default=Settings.network)
    preset = String(validate=OneOf([*PRESETS]), load_default=Settings.preset)
    iterations = Integer(validate=setting_range("iterations"))
    texture = Float(
        validate=setting_range("texture"),
        load_default=Settings.texture,
        metadata=described(
            "The amount of the surroundings' detail in large holes: 0 is smooth, and nearest to "
            "the truth in PSNR."
        ),
    )
    grow = Growth(
        load_default=Settings.grow,
        metadata={
            **GROWTH,
            **described(
                "Pixels by which the mask is grown where its rim still holds damage; "
                f"`{GROW_AUTO}`: only over the rim where damage is found."
            ),
        },
    )
    time_s = Float(
        validate=setting_range("time_s"),
        metadata=described(
            "Seconds after which the fit of each network ends with the best result. The "
            "result then depends on the speed of the machine. Without it there is no limit."
        ),
    )
    seed = Integer(validate=setting_range("seed"), load_default=Settings.seed)
    device = String(validate=OneOf(DEVICES), load_default=Settings.device)
    threads = Integer(validate=setting_range("threads"))
    max_memory_mb = Integer(validate=setting_range("max_memory_mb"))
    result = String(
        validate=OneOf(PARTS),
        load_default="image",
        metadata=described(
            "`fill`: only the filled pixels, with their coverage as alpha, and their offset."
        ),
    )
    format = String(
        validate=OneOf(FORMATS),
        load_default="auto",
        metadata=described("`auto`: the image's own format where that is lossless, else PNG."),
    )
    page = String(
        validate=Regexp(f"^({PAGE})$(?!\\n)"),
        metadata=described(
            "The page of a TIFF, from 1, or `all`. By default all where the mask has as many "
            "pages, else the first one that is no reduced copy of another."
        ),
    )
    mask_samples = String(
        validate=OneOf([*SAMPLE_BYTES]),
        metadata=described("The mask is raw samples too: one channel, same size as the image."),
    )


class SubmitIn(RestoreIn):
    """A job."""

    network = String(
        validate=OneOf([*NETWORKS, BOTH]),
        load_default=Settings.network,
        metadata=described("`both`: fit both networks, one after the other."),
    )
    lease_s = Float(validate=LEASE_S, metadata=LEASE)


class SubmitHeaders(Schema):
    idempotency_key = String(
        data_key="Idempotency-Key",
        validate=Length(min=1, max=200),
        metadata=described("The same key with the same submission is the same job."),
    )


class JobsQuery(Schema):
    state = String(validate=OneOf([state.value for state in State]))
    limit = Integer(validate=Range(min=1, max=1000), load_default=100)


class NetworkQuery(Schema):
    network = String(validate=OneOf([*NETWORKS]), metadata=described("For jobs with `both`."))


class SideQuery(Schema):
    side = Integer(
        validate=Range(min=16, max=65_000),
        metadata=described("The maximum side of the picture, px."),
    )


class DisplayIn(SideQuery):
    """A picture to show."""

    image = File(required=True, metadata=described("A file as a job takes it."))
    kind = String(
        validate=OneOf(["photo", "mask"]),
        load_default="photo",
        metadata=described("`mask`: gray, exactly as a job reads it."),
    )


class DisplayQuery(NetworkQuery, SideQuery):
    of = String(
        validate=OneOf(["image", "mask", "result"]),
        load_default="result",
        metadata=described("`image`, `mask`: as submitted."),
    )


class InputQuery(Schema):
    of = String(validate=OneOf(["image", "mask"]), load_default="image")


class ErrorDetail(Schema):
    code = String(required=True, validate=OneOf(sorted(MEANINGS)))
    message = String(required=True)
    hint = String(required=True)


class ErrorOut(Schema):
    error = Nested(ErrorDetail, required=True)


class NoteOut(Schema):
    """A note that a client can say in another language: by its code, see `dip/notes.py`."""

    code = String(required=True, metadata=described("Empty in jobs of older versions."))
    values = fields.Dict(
        required=True, metadata=described("By name: texts, numbers, notes, or lists of them.")
    )
    message = String(required=True, metadata=described("The same in English."))


class ProgressOut(Schema):
    state = String(required=True)
    attempt = Integer(required=True)
    network = String()
    iteration = Integer(
        metadata=described("0 in the first event, when all damage is filled without a network.")
    )
    iterations = Integer(metadata=described("Of all fits of this network."))
    region = Integer(
        metadata=described("The fit, from 0: of a region, or of small patches side by side.")
    )
    regions = Integer(metadata=described("The number of fits."))
    run = Integer(metadata=described("The run of the fit, from 0; runs side by side take turns."))
    page = Integer(
        allow_none=True, metadata=described("The page in work, from 1; null for a file's only one.")
    )
    fraction = Float(
        metadata=described("The share of the predicted work of all networks that is done, 0 to 1.")
    )
    loss = Float(allow_none=True)
    validation_psnr_db = Float(allow_none=True, metadata=described(VALIDATION))
    elapsed_s = Float()
    remaining_s = Float(
        allow_none=True, metadata=described("A prediction; null before the first iteration.")
    )
    note = String(allow_none=True, metadata=described("A message for the user, in one event only."))
    coded_note = Nested(NoteOut, allow_none=True)


class PlaceOut(Schema):
    top = Integer(required=True)
    left = Integer(required=True)
    height = Integer(required=True)
    width = Integer(required=True)


class PreviewOut(PlaceOut):
    number = Integer(required=True)
    network = String(required=True)
    iteration = Integer(required=True)
    url = String()


class ResultOut(PlaceOut):
    network = String(required=True)
    part = String(required=True)
    format = String(required=True)
    channels = Integer(required=True)
    samples = String(required=True)
    bytes = Integer(required=True)
    sha256 = String(required=True)
    iterations = Integer(required=True)
    validation_psnr_db = Float(allow_none=True, metadata=described(VALIDATION))
    seconds = Float(required=True)
    url = String()


class ParametersOut(Schema):
    network = String(required=True)
    preset = String(required=True)
    iterations = Integer(allow_none=True, required=True)
    texture = Float(required=True)
    grow = fields.Raw(required=True, metadata=GROWTH)
    time_s = Float(allow_none=True, required=True)
    seed = Integer(required=True)
    device = String(required=True)
    threads = Integer(allow_none=True, required=True)
    max_memory_mb = Integer(allow_none=True, required=True)
    result = String(required=True)
    format = String(required=True)
    page = String(allow_none=True, required=True)


class EventOut(Schema):
    """One of a stream of Server-Sent Events."""

    id = String(metadata=described("Counts from 1."))
    event = String(validate=OneOf(["progress", "preview", "done", "error"]))
    data = String(metadata=described("JSON."))
    retry = Integer(metadata=described("ms"))


class SubmittedOut(Schema):
    """The fields that jobs and detections share."""

    id = String(required=True)
    state = String(required=True, validate=OneOf([state.value for state in State]))
    user = String(required=True, metadata=described("Empty for the owner of the service."))
    photo = String(
        required=True, metadata=described("The file name of the photo; empty if none was given.")
    )
    created = String(required=True)
    started = String(allow_none=True)
    ended = String(allow_none=True)
    attempts = Integer(required=True)
    ahead = Integer(allow_none=True, metadata=described("The number of jobs before this one."))
    progress = Nested(ProgressOut, allow_none=True)
    error = Nested(ErrorDetail, allow_none=True)
    lease_s = Float(allow_none=True)
    lease_until = String(allow_none=True)
    notes = List(
        String(),
        required=True,
        metadata=described(
            "Remarks for people. The things that the result's format cannot hold are named before "
            "the work."
        ),
    )
    coded_notes = List(Nested(NoteOut), required=True)
    bytes = Integer(required=True)
    url = String(required=True)
    events_url = String(required=True)


class JobOut(SubmittedOut):
    parameters = Nested(ParametersOut, required=True)
    stopping = Boolean(required=True)
    stopped = Boolean(
        required=True,
        metadata=described("Whether the job ended early because of a request to stop."),
    )
    preview = Nested(PreviewOut, allow_none=True)
    results = List(Nested(ResultOut), required=True)


class JobsOut(Schema):
    jobs = List(Nested(JobOut), required=True)


class ProblemOut(Schema):
    code = String(required=True)
    message = String(required=True)
    hint = String(required=True)


class HealthQuery(Schema):
    challenge = String(
        validate=Length(min=16, max=128),
        metadata=described(
            "`proof` is the HMAC-SHA256 of 'dip-restore health ' and this text, in hexadecimal. "
            "The key is the token; for a user, the SHA-256 of the token, in hexadecimal."
        ),
    )
    user = String(
        validate=Length(max=32),
        load_default="",
        metadata=described("The part before the dot in a user's token."),
    )


class HealthOut(Schema):
    service = String(required=True)
    api = Integer(required=True)
    version = String(required=True)
    status = String(required=True, validate=OneOf(["ok", "degraded"]))
    worker = String(required=True)
    queued = Integer(required=True)
    running = Integer(required=True)
    problems = List(Nested(ProblemOut), required=True)
    proof = String()


class CapabilitiesOut(Schema):
    networks = Dict(keys=String(), values=String(), required=True)
    presets = Dict(keys=String(), values=String(), required=True)
    devices = List(String(), allow_none=True, required=True)
    formats = Dict(keys=String(), values=List(String()), required=True)
    limits = Dict(keys=String(), values=Float(), required=True)
    grow = List(
        String(),
        required=True,
        metadata=described("Accepted values of `grow` beside numbers up to `limits.grow_px`."),
    )
    texture = Float(
        required=True, metadata=described("Texture of holes, unless a job says otherwise.")
    )
    kinds = List(
        String(), required=True, metadata=described("Kinds of damage that a detection finds.")
    )
    sensitivity = Float(required=True, metadata=described("Of a mask, unless a request says so."))
    versions = Dict(keys=String(), values=String(), required=True)
    worker = Dict(keys=String(), required=True)
    cluster = Boolean(
        required=True,
        metadata=described("Whether other machines work on the jobs, and so receive the photos."),
    )


class LaunchOut(Schema):
    url = String(required=True)


class LaunchQuery(Schema):
    code = String(required=True, validate=Length(min=1, max=100))
