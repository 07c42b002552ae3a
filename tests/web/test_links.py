"""Pictures that are symbolic links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.waiting import until
from tests.web.conftest import Client, Get
from tools.pictures.drawing import quarters, saved

OLD, NEW = saved(quarters(64, 48), "JPEG"), saved(quarters(48, 64), "JPEG")


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("change", ["target", "link"])
async def test_change_of_a_link_or_of_its_target_is_shown_when_the_record_is_stale(
    serve: Serve, get: Get, images: Path, near: bool, change: str
) -> None:
    """The watch does not see the folder of the target."""
    (images / "pool").mkdir()
    (images / "pool" / "old.jpg").write_bytes(OLD)
    (images / "pool" / "new.jpg").write_bytes(NEW)
    (images / "42.jpg").symlink_to("pool/old.jpg")
    client = await serve(images={"near": near}, cache={"fresh_for": 1}, http={"stale_while_revalidate": 0})
    for query in ("", "?w=10"):
        assert (await get(client, 42, query)).status == 200
    if change == "target":
        os.replace(images / "pool" / "new.jpg", images / "pool" / "old.jpg")
    else:
        (images / "coming").symlink_to("pool/new.jpg")
        os.replace(images / "coming", images / "42.jpg")

    async def new_picture() -> bool:
        response = await get(client, 42)
        return bool(await response.read() == NEW)

    await until(new_picture)


@pytest.mark.parametrize("near", [True, False])
async def test_link_that_leaves_the_folder_is_no_picture(
    serve: Serve, get: Get, images: Path, tmp_path: Path, near: bool
) -> None:
    client: Client = await serve(images={"near": near})
    (tmp_path / "secret.jpg").write_bytes(OLD)
    (images / "42.jpg").symlink_to(tmp_path / "secret.jpg")
    (images / "43.jpg").symlink_to("/etc/passwd")
    for contact in (42, 43):
        for query in ("", "?w=10"):
            assert (await get(client, contact, query)).status == 404
