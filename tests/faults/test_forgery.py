"""An attacker who can write into the server forges what is kept there: nothing of it is believed under a secret."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from redis.asyncio import Redis

from service.caches.entry_format import EntryFormat
from service.formats import Format
from service.pictures.records import encode
from service.pictures.values import RECORD, THUMB_HASH_FIELD, Entry, Original
from tests.conftest import Serve, Valkey
from tests.faults.conftest import NO_MEMORY, Client, settled, subscribed
from tests.waiting import until
from tests.web.conftest import IMAGE, Get
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("people")

SECRET = "0123456789abcdef0123456789abcdef"
QUERY = "?w=20&type=png"
FOREIGN = 'contact_image_cache_total{layer="shared",outcome="foreign"}'
READS = "contact_image_store_reads_total"
_prefixes = itertools.count()


@pytest.mark.parametrize("secret", ["", "a secret that the attacker has made up"], ids=["checksum", "another secret"])
async def test_forged_values_are_misses(serve: Serve, get: Get, shared_valkey: Valkey, secret: str) -> None:
    """The record, the rendition, and the length of the rendition that HEAD tells."""
    prefix = f"forgery-{next(_prefixes)}"
    client = await serve(cache={"prefix": prefix, "secret": SECRET} | NO_MEMORY)
    true = await get(client, 1, QUERY)
    await settled(client)
    key, forged = f"{prefix}:{{1}}", EntryFormat(secret)
    async with Redis.from_url(shared_valkey.url) as redis:
        fields = [field.decode() for field in await redis.hkeys(key)]
        (rendition,) = {*fields} - {RECORD, THUMB_HASH_FIELD}
        version = "0-0-000000000000000000000000"
        lie = Original(1, version, 10, 1_700_000_000, Format.PNG, alpha=False, dimensions=(20, 20))
        for field, body in ((RECORD, encode(lie)), (rendition, b"another face")):
            entry, before = Entry(version, time.time(), "", body), await metric(client, FOREIGN)
            for method in ("GET", "HEAD"):
                await redis.hset(key, field, forged.pack(entry, f" {key} {field}"))
                answer = await client.request(method, f"{IMAGE.format(1)}{QUERY}")
                assert (answer.status, answer.headers["ETag"]) == (200, true.headers["ETag"])
                assert answer.headers["Content-Length"] == true.headers["Content-Length"]
                assert await answer.read() == (b"" if method == "HEAD" else await true.read())
                await settled(client)
            assert await metric(client, FOREIGN) - before >= 2


async def test_processes_with_different_secrets_serve_and_purge_together(serve: Serve, get: Get) -> None:
    """As during a change of the secret, or of a release: it costs misses."""
    prefix = f"forgery-{next(_prefixes)}"
    pair = [
        await serve(writes={"enabled": True}, cache={"prefix": prefix, "secret": secret}) for secret in (SECRET, "")
    ]
    await subscribed(*pair)
    for _ in range(3):
        answers = await asyncio.gather(*(get(client, 1, f"?w={width}") for client in pair for width in range(20, 40)))
        assert {answer.status for answer in answers} == {200}
        for client in pair:
            await settled(client)
    for purging, other in (pair, pair[::-1]):
        answers = [await get(other, 1, "?w=20") for _ in range(2)]
        assert "; hit" in answers[-1].headers["Cache-Status"]
        await settled(other)
        assert (await purging.request("PURGE", IMAGE.format(1))).status == 204
        reads = await metric(other, READS)

        async def asked_again(other: Client = other, reads: float = reads) -> bool:
            await get(other, 1, "?w=20")
            return await metric(other, READS) > reads

        await until(asked_again, 60, "the purge has reached the other process")
