"""Failures of a real server: full memory, silence, a wrong port; and connections by TLS."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service.caches.redis import RedisCache
from service.pictures.ports import CacheUnavailable, FenceToken
from service.pictures.values import Entry
from tests.caches.conftest import ENTRY, found, keep, redis_cache
from tests.caches.wrong_server import giving
from tests.conftest import Valkey
from tests.operations.running import free_port
from tests.waiting import until

WRONG_REPLIES = [b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"*0\r\n", b"*2\r\n$1\r\n0\r\n*0\r\n", b"$2\r\n\0\0\r\n"]
"""Valid replies of the protocol. The last two also end a scan of the keys."""


async def test_full_server_refuses_puts_with_a_reason(own_valkey: Valkey) -> None:
    own_valkey.stop()
    own_valkey.start(**{"maxmemory": "3mb", "maxmemory-policy": "noeviction"})
    cache = redis_cache(own_valkey.url)
    with pytest.raises(CacheUnavailable, match="maxmemory"):
        for contact in range(100):
            await keep(cache, contact, "one", Entry("v", 0.0, "", bytes(500_000)))
    assert await found(cache, 10_000, "one") is None
    await cache.close()


async def test_lease_is_free_after_its_acquisition_was_cancelled(redis: RedisCache) -> None:
    await redis.acquire(42, "another", "v")  # the connection is made
    for turns in range(6):  # before the command is sent, and after
        cancelled = asyncio.create_task(redis.acquire(42, "one", "v"))
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert cancelled.cancelled()
        token = await redis.acquire(42, "one", "v")
        assert isinstance(token, FenceToken)
        assert token.lease
        await redis.release(token.lease)


async def test_missing_server_fails_at_once(tmp_path: Path) -> None:
    cache = redis_cache(f"unix://{tmp_path}/missing.sock")
    with pytest.raises(CacheUnavailable):
        await found(cache, 1, "one")
    with pytest.raises(CacheUnavailable):
        await cache.check()
    await cache.close()


async def test_frozen_server_fails_within_the_time_limit(own_valkey: Valkey) -> None:
    cache = redis_cache(own_valkey.url, timeout=0.05)
    await keep(cache, 1, "one")
    assert own_valkey.process is not None
    own_valkey.process.send_signal(19)
    try:
        begun = time.perf_counter()
        with pytest.raises(CacheUnavailable):
            await found(cache, 1, "one")
        assert time.perf_counter() - begun < 10  # the retries of the library would take most of a minute
    finally:
        own_valkey.process.send_signal(18)
    assert await found(cache, 1, "one") == ENTRY
    await cache.close()


@pytest.mark.parametrize("lookup", ["get", "head", "acquire"])
async def test_value_above_the_limit_is_dropped_and_not_received_to_its_end(own_valkey: Valkey, lookup: str) -> None:
    cache = redis_cache(own_valkey.url, max_body=100_000)
    async with Redis.from_url(own_valkey.url) as client:
        for field, size in (("whole", 100_000), ("large", 100_000), ("other", 1)):
            await keep(cache, 42, field, replace(ENTRY, body=bytes(size)))
        value = await client.hget(cache.key(42), "large")  # the version is right
        await client.hset(cache.key(42), "large", value.ljust(16_777_216, b"\0"))
        before = (await client.info("stats"))["total_net_output_bytes"]
        if lookup == "get":
            # In one turn: the lookups after the first one are sent once more.
            lookups = [cache.get(42, fields) for fields in (("large", "other"), ("whole",), ("other",))]
            large, whole, other = await asyncio.gather(*lookups)
            assert large == [None, None]
            assert whole == [replace(ENTRY, body=bytes(100_000))]
            assert other == [replace(ENTRY, body=b"\0")]
        elif lookup == "head":
            assert await cache.head(42, "large") is None
        else:
            token = await cache.acquire(42, "large", ENTRY.version)
            assert isinstance(token, FenceToken)
            assert token.lease
        assert (await client.info("stats"))["total_net_output_bytes"] - before < 8_388_608

        async def dropped() -> bool:
            return sorted(await client.hkeys(cache.key(42))) == [b"other", b"whole"]

        await until(dropped)
        assert await found(cache, 42, "whole") == replace(ENTRY, body=bytes(100_000))
    await cache.close()


@pytest.mark.parametrize("reply", WRONG_REPLIES)
@pytest.mark.parametrize("contact", [42, None])
async def test_wrong_reply_acknowledges_no_purge(tmp_path: Path, reply: bytes, contact: int | None) -> None:
    async with giving(reply, tmp_path / "socket"):
        cache = redis_cache(f"unix://{tmp_path}/socket")
        with pytest.raises(CacheUnavailable):
            await cache.purge(contact)
        await cache.close()


async def test_tls_and_an_acl_user_work(own_valkey: Valkey, certificate: tuple[Path, Path]) -> None:
    async with Redis.from_url(own_valkey.url) as client:
        await client.execute_command("ACL", "SETUSER", "picture", "on", ">secret", "~*", "+@all")
    async with tls_in_front_of(own_valkey, *certificate) as port:
        query = f"ssl_ca_certs={certificate[0]}"
        cache = redis_cache(f"rediss://picture:secret@localhost:{port}/0?{query}", timeout=5.0)
        await keep(cache, 1, "one")
        assert await found(cache, 1, "one") == ENTRY
        await cache.close()
        wrong = redis_cache(f"rediss://picture:wrong@localhost:{port}/0?{query}", timeout=5.0)
        with pytest.raises(CacheUnavailable) as refused:
            await found(wrong, 1, "one")
        assert "wrong@" not in str(refused.value)
        await wrong.close()
        distrustful = redis_cache(f"rediss://picture:secret@localhost:{port}/0", timeout=5.0)
        with pytest.raises(CacheUnavailable):
            await found(distrustful, 1, "one")
        await distrustful.close()


async def reason_of(url: str) -> str:
    """Return the reason with which `check` fails."""
    cache = redis_cache(url)
    with pytest.raises(CacheUnavailable) as failure:
        await cache.check()
    await cache.close()
    return str(failure.value)


@pytest.mark.parametrize("options", [{}, {"requirepass": "hunter2"}], ids=["open", "with a password"])
async def test_tls_to_a_plain_port_is_the_reason(own_valkey: Valkey, options: dict[str, str]) -> None:
    own_valkey.stop()
    own_valkey.start(port=str(port := free_port()), **options)
    for credentials in ("", ":hunter2@", "user:hunter2@"):
        reason = await reason_of(f"rediss://{credentials}127.0.0.1:{port}/0")
        assert "rediss://" in reason
        assert f"127.0.0.1:{port} answers without TLS" in reason
        assert "hunter2" not in reason


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("demanding", [False, True], ids=["", "asks for the client's certificate"])
async def test_plain_connection_to_a_tls_port_is_the_reason(
    own_valkey: Valkey, certificate: tuple[Path, Path], newest: ssl.TLSVersion, demanding: bool
) -> None:
    async with tls_in_front_of(own_valkey, *certificate, newest=newest, demanding=demanding) as port:
        reason = await reason_of(f"redis://:hunter2@localhost:{port}/0")
    assert f"localhost:{port} answers with TLS: use rediss://" in reason
    assert "hunter2" not in reason


async def test_other_failures_have_other_reasons(
    own_valkey: Valkey, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    async with tls_in_front_of(own_valkey, *certificate) as port:
        assert "CERTIFICATE_VERIFY_FAILED" in await reason_of(f"rediss://localhost:{port}/0")
    own_valkey.stop()
    own_valkey.start(port=str(port := free_port()), requirepass="hunter2")
    assert "TLS" not in await reason_of(f"redis://127.0.0.1:{port}/0")
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    for scheme in ("redis", "rediss"):
        assert await reason_of(f"{scheme}://127.0.0.1:{port}/0") == "no answer within 1 s"
        assert "TLS" not in await reason_of(f"{scheme}://127.0.0.1:{free_port()}/0")
    assert "TLS" not in await reason_of(f"unix://{tmp_path}/missing.sock")


async def test_reason_is_logged_once_when_the_subscription_fails(own_valkey: Valkey) -> None:
    own_valkey.stop()
    own_valkey.start(port=str(port := free_port()))
    cache = redis_cache(f"rediss://127.0.0.1:{port}/0")
    with capture_logs() as lines:
        cache.subscribe(lambda _: None, lambda _: None)
        async with asyncio.timeout(20):
            while not lines:
                await asyncio.sleep(0.02)
        await asyncio.sleep(3)  # it tries again
    await cache.close()
    (line,) = lines
    assert line["event"] == "cache.no_news"
    assert f"127.0.0.1:{port} answers without TLS" in line["reason"]


async def test_logged_reason_of_a_frozen_server_is_that_it_does_not_answer(own_valkey: Valkey) -> None:
    assert own_valkey.process is not None
    own_valkey.process.send_signal(signal.SIGSTOP)
    cache = redis_cache(own_valkey.url)
    with capture_logs() as lines:
        cache.subscribe(lambda _: None, lambda _: None)
        await until(lambda: bool(lines))
    await cache.close()
    assert [(line["event"], line["reason"]) for line in lines] == [("cache.no_news", "no answer within 1 s")]


@asynccontextmanager
async def tls_in_front_of(
    server: Valkey,
    cert: Path,
    key: Path,
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
    demanding: bool = False,
) -> AsyncIterator[int]:
    """Open a TLS port that forwards to the server's socket (the server is built without TLS). Yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    context.maximum_version = newest
    if demanding:
        context.verify_mode = ssl.CERT_REQUIRED

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
        sink.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(server.socket))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)

    listener = await asyncio.start_server(forward, "localhost", 0, ssl=context)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
