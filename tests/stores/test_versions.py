"""Files that are written while they are read."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from service.pictures.values import OriginalChanged
from service.stores.versions import file_identity, picture_of, read_at, read_unchanged, require_version, version_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.utime(path, ns=(0, 10**18))
    return path


def test_read_is_repeated_after_a_write(path: Path) -> None:
    reads: list[bytes] = []

    def read(status: os.stat_result) -> bytes:
        reads.append(path.read_bytes())
        if len(reads) == 1:
            path.write_bytes(b"newer")
        return reads[-1]

    with path.open("rb") as file:
        status, data, identity = read_unchanged(file.fileno(), read)
    assert (data, reads) == (b"newer", [b"old", b"newer"])
    assert identity == file_identity(status)
    assert status.st_size == 5


def test_file_that_always_changes_is_read_a_bounded_number_of_times(path: Path) -> None:
    reads = 0

    def read(status: os.stat_result) -> int:
        nonlocal reads
        reads += 1
        path.write_bytes(bytes(reads))
        return reads

    with path.open("rb") as file:
        _, data, identity = read_unchanged(file.fileno(), read)
    assert (data, identity) == (reads, None)
    assert reads <= 5


def test_number_of_links_changes_the_identity_and_not_the_version(path: Path) -> None:
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        expected = version_of(before, b"old")
        path.unlink()
        after = os.fstat(file.fileno())
        assert file_identity(after) != file_identity(before)
        assert require_version(file.fileno(), expected) == file_identity(after)
        with pytest.raises(OriginalChanged):
            require_version(file.fileno(), version_of(after, b"new"))


def test_read_at_ends_at_the_end_of_the_file(path: Path) -> None:
    with path.open("rb") as file:
        assert read_at(file.fileno(), 1, 100) == b"ld"
        assert read_at(file.fileno(), 9, 100) == b""


@pytest.mark.parametrize("date", [1, 0, -1, 10**18])
def test_copies_of_one_picture_have_the_same_size_and_digest(path: Path, date: int) -> None:
    os.utime(path, ns=(date, date))
    data = path.read_bytes()
    assert picture_of(version_of(path.stat(), data)) == picture_of(f"{len(data):x}-0-{sha256(data).hexdigest()[:24]}")
    assert picture_of(version_of(path.stat(), data)) != picture_of(version_of(path.stat(), data[:-1]))
