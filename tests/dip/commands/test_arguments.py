"""Options and settings name the same things."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from dip.cli import build_parser
from dip.commands.arguments import settings_from
from dip.config import Settings
from dip.errors import SettingError

PHOTO = ["restore", "photo.png"]


def settings(*words: str) -> Settings:
    return settings_from(build_parser().parse_args([*PHOTO, *words]))


def test_without_options_the_settings_are_the_default_ones() -> None:
    assert settings() == Settings()


def test_every_setting_has_an_option() -> None:
    other = {
        "network": "segnet",
        "preset": "fast",
        "iterations": 7,
        "time_s": 90.5,
        "texture": 0.25,
        "grow": 2,
        "seed": 8,
        "device": "cpu",
        "threads": 3,
        "max_memory_mb": 900,
    }
    assert other.keys() == {field.name for field in fields(Settings)}
    options = {"time_s": "time"}
    words = [
        f"--{options.get(name, name).replace('_', '-')}={value}" for name, value in other.items()
    ]
    assert asdict(settings(*words)) == other


def test_the_mask_can_grow_by_itself() -> None:
    assert settings("--grow", "auto") == Settings(grow="auto")


@pytest.mark.parametrize("command", ["compare", "demo"])
def test_commands_that_fit_once_share_the_options(command: str) -> None:
    words = {"compare": ["photo.png", "-o", "figure.png"], "demo": []}[command]
    args = build_parser().parse_args([command, *words, "--preset", "best", "--seed", "4"])
    expected = Settings(network="segnet", preset="best", seed=4)
    assert settings_from(args, network="segnet") == expected


@pytest.mark.parametrize("word", ["--iterations=0", "--seed=-1", "--threads=0"])
def test_a_value_out_of_range_is_named(word: str) -> None:
    with pytest.raises(SettingError, match=word.strip("-").split("=")[0]):
        settings(word)


@pytest.mark.parametrize(
    "words", [["--preset", "quick"], ["--iterations", "many"], ["--grow", "2.5"], ["--grow", "101"]]
)
def test_a_word_that_means_nothing_shows_the_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        settings(*words)
    assert left.value.code == 2
    assert "usage: dip restore" in capsys.readouterr().err
