"""The token file, and the folder that contains it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.errors import ServiceFailure
from server.private_files import check_folder, read_or_create_token


def test_the_token_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = read_or_create_token(path)
    assert len(token) == 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_create_token(path) == token


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_token_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    read_or_create_token(path)
    path.chmod(mode)
    with pytest.raises(ServiceFailure, match=f"mode {mode:04o}") as caught:
        read_or_create_token(path)
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_foreign_or_empty_token_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    with pytest.raises(ServiceFailure, match="contains no token"):
        read_or_create_token(path)
    if os.geteuid() == 0:
        os.chown(path, 1, 1)
        with pytest.raises(ServiceFailure, match="another user"):
            read_or_create_token(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ServiceFailure, match="cannot be used as the token file") as caught:
        read_or_create_token(link)
    assert "Delete it" in caught.value.hint
    (tmp_path / "folder").mkdir()
    with pytest.raises(ServiceFailure, match="is not a regular file"):
        read_or_create_token(tmp_path / "folder")


def test_a_token_is_made_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at the first start must not leave an empty file, which would be refused."""
    path = tmp_path / "token"

    def cut(handle: int) -> None:
        assert not path.exists()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", cut)
        with pytest.raises(ServiceFailure, match="No space left"):
            read_or_create_token(path)
    assert list(tmp_path.iterdir()) == []
    assert len(read_or_create_token(path)) == 43


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ServiceFailure, match="Other users can write") as caught:
        check_folder(tmp_path)
    assert "chmod 700" in caught.value.hint
    tmp_path.chmod(0o755)
    check_folder(tmp_path)
