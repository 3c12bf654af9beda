"""States and transitions of jobs, parameters, and error codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dip.config import Settings
from server.errors import MEANINGS, ServiceError
from server.jobs.events import Event
from server.jobs.job import ALLOWED, IllegalTransition, State, check_transition
from server.jobs.parameters import JobParameters, RawImage, parameters_from


@pytest.mark.parametrize("state", State)
def test_a_state_is_final_when_nothing_follows(state: State) -> None:
    assert state.final == (state in (State.DONE, State.FAILED, State.CANCELLED))


@given(st.sampled_from(State), st.sampled_from(State))
def test_only_listed_transitions_are_allowed(old: State, new: State) -> None:
    if new in ALLOWED[old]:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransition, match=f"{old.value} -> {new.value}"):
            check_transition(old, new)


def test_every_state_can_reach_an_end() -> None:
    for state in State:
        reached, frontier = {state}, {state}
        while frontier:
            frontier = {each for old in frontier for each in ALLOWED[old]} - reached
            reached |= frontier
        assert any(each.final for each in reached)


raw_images = st.none() | st.builds(
    RawImage,
    width=st.integers(1, 10**6),
    height=st.integers(1, 10**6),
    channels=st.integers(1, 4),
    samples=st.sampled_from(["uint8", "uint16", "float32"]),
)


@given(
    st.builds(
        JobParameters,
        networks=st.sampled_from([("unet",), ("segnet",), ("unet", "segnet")]),
        settings=st.builds(
            Settings,
            iterations=st.none() | st.integers(1, 10**6),
            texture=st.floats(0, 1),
            grow=st.integers(0, 100) | st.just("auto"),
            time_s=st.none() | st.floats(1, 10**6),
            seed=st.integers(0, 2**63 - 1),
            threads=st.none() | st.integers(1, 1024),
        ),
        part=st.sampled_from(["image", "fill"]),
        format=st.sampled_from(["auto", "png", "raw"]),
        raw=raw_images,
        has_mask=st.booleans(),
    )
)
def test_parameters_survive_the_store(parameters: JobParameters) -> None:
    assert JobParameters.from_json(parameters.as_json()) == parameters


def test_both_networks_are_two_fits() -> None:
    parameters = parameters_from({"network": "both"}, has_mask=True)
    assert parameters.networks == ("unet", "segnet")
    assert parameters.public()["network"] == "both"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"width": 8, "height": 8}, "width, height declare raw samples, but channels, samples"),
        ({"mask_samples": "uint8"}, "the image is a file"),
        ({"result": "fill", "format": "jpeg"}, "JPEG cannot hold a fill"),
        ({"seed": -1}, "seed is -1"),
        ({"grow": -1}, "grow is -1"),
        ({"texture": 1.5}, "texture is 1.5"),
        ({"preset": "perfect"}, "preset is 'perfect'"),
    ],
)
def test_contradictions_are_refused(form: dict[str, object], message: str) -> None:
    with pytest.raises(ServiceError, match=message) as caught:
        parameters_from(form, has_mask=True)
    assert caught.value.code == "parameter_invalid"
    assert caught.value.hint


def test_an_event_is_written_as_server_sent_events_are() -> None:
    event = Event(seq=3, kind="done", data='{"a": 1}')
    assert event.as_sse() == b'id: 3\nevent: done\ndata: {"a": 1}\n\n'


def test_every_code_says_what_to_do() -> None:
    for code, meaning in MEANINGS.items():
        assert 400 <= meaning.status < 600, code
        assert meaning.hint.endswith("."), code
