"""The memory of the service's process after 100,000 hits of many kinds, against after 20,000."""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from pathlib import Path
from random import Random

import uvloop

from tools.bench.instruments.clients import Answer, connected, converse, request
from tools.bench.instruments.figures import ratios, show, spread
from tools.bench.instruments.load import CONNECTIONS
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.processes import Server, service, valkey

_FIRST, _ALL = 20_000, 100_000
_CONTACTS = range(1, 41)
_WITHOUT_PICTURE = 999
_QUERIES = ("", "w=64", "w=128&h=128&fit=cover", "w=319", "h=240", "w=319&type=PNG", "w=800", "w=100&h=300&fit=pad")
_ACCEPTS = ("image/avif,image/webp,image/*;q=0.8", "image/jpeg", "*/*", "application/json")


def run(options: Namespace) -> None:
    """Measure a new service in every run. All pictures are cached before the hits."""
    sizes = []
    with tempfile.TemporaryDirectory(prefix="bench-") as text:
        images = Path(text)
        (images / "original").write_bytes(photograph(750, 1000, grain=0.15))
        for contact in _CONTACTS:
            os.link(images / "original", images / f"{contact}.jpg")
        for run in range(options.runs):
            with valkey() as (url, _), service(images, cache__url=url) as ours:
                sizes.append(uvloop.run(_soaked(ours, Random(run))))
    first, last = zip(*sizes, strict=True)
    figures = [spread([size / 2**20 for size in each], 1) for each in (first, last)]
    heads = ("", f"after {_FIRST:,}, MiB", f"after {_ALL:,}, MiB", "ratio", "target")
    row = ["the service's process", *figures, spread(ratios(last, first), 3), "≤ 1.05"]
    show(f"Resident memory, {CONNECTIONS} connections, {options.runs} runs", heads, [row])


async def _soaked(server: Server, random: Random) -> tuple[float, float]:
    """Return the resident bytes after the first hits, and after all hits."""
    clients = await connected(server.port, CONNECTIONS)
    hits = [*_everything(), *_others()]
    await converse(clients, iter(hits), _expected)
    sizes = []
    for requests in (_FIRST, _ALL - _FIRST):
        await converse(clients, (random.choice(hits) for _ in range(requests)), _expected)
        sizes.append(server.resident_bytes())
    for client in clients:
        client.close()
    return sizes[0], sizes[1]


def _everything() -> list[bytes]:
    """Return a request for every rendition with every Accept field."""
    paths = [f"/api/v1/Contact/{contact}/Image?{query}" for contact in _CONTACTS for query in _QUERIES]
    return [request(path, {"Accept": accept}) for path in paths for accept in _ACCEPTS]


def _others() -> list[bytes]:
    """Return requests whose answers have no body, or are placeholders or refusals."""
    path = "/api/v1/Contact/{}/Image?{}".format
    unchanged = {"Accept": _ACCEPTS[0], "If-None-Match": "*"}
    placeholders = [path(_WITHOUT_PICTURE, f"w={width}&ifBlank=SrNoPhoto") for width in (64, 128, 256)]
    return [
        *(request(path(contact, "w=319"), unchanged) for contact in _CONTACTS),
        *(request(path(contact, "w=64"), {"Accept": _ACCEPTS[1]}, "HEAD") for contact in _CONTACTS),
        *(request(each, {"Accept-Language": language}) for each in placeholders for language in ("sv", "en")),
        request(path(_WITHOUT_PICTURE, "w=64")), request(path(1, "w=x")), request("/nothing"),
    ]  # fmt: skip


def _expected(answer: Answer) -> None:
    """Raise RuntimeError for an answer with a status of 500 or more."""
    if answer.status >= 500:
        raise RuntimeError(f"a request failed: {answer.header.decode('latin-1')}")
