"""REDbot finds nothing bad in any answer, and only warnings with a reason."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient

from tests.conftest import Serve
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

LINTER = Path(__file__).parents[2] / "tools" / "linter.py"

ACCEPTED = {
    "STORE_PUBLIC_UNNECESSARY": "shared caches may keep answers to requests with credentials that no scheme uses",
    "VARY_COMPLEX": "answers with words depend on Accept, and on three fields for their language; pictures do not",
    "STATUS_BAD_REQUEST": "the test sends a bad request",
}
"""The accepted warnings of REDbot, each with its reason."""

ANSWERS = {
    "1/Image": "200",  # stored bytes, from the cache
    "6/Image": "200",  # the same, streamed
    "1/Image?w=40": "200",
    "1/Image?w=40&type=png": "200",
    "3/Image?type=gif": "200",
    "404/Image": "404",
    "404/Image?ifBlank=Default": "200",
    "404/Image?ifBlank=SrNoPhoto": "200",
    "1/Image?w=x": "400",
    "x/Image": "400",
}


async def linted(
    client: TestClient, paths: list[str], *options: str, below: str = "/api/v1/Contact/"
) -> dict[str, list[str]]:
    base = str(client.make_url(below))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(LINTER), *options, *(base + path for path in paths), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    return {name.replace(base, ""): notes for name, notes in json.loads(output).items()}


def names(notes: list[str]) -> set[str]:
    return {note.split(": ")[1] for note in notes}


async def test_redbot_finds_nothing_bad_in_any_answer(serve: Serve, images: Path) -> None:
    (images / "6.jpg").write_bytes(saved(quarters(160, 120), "JPEG") + bytes(500_000))
    client = await serve()
    for _ in range(2):  # with an empty cache, and with a full one
        found = await linted(client, list(ANSWERS))
        for path, expected in ANSWERS.items():
            for method in ("GET", "HEAD"):
                status, *notes = found[f"{method} {path}"]
                assert status == expected
                assert names(notes) <= ACCEPTED.keys(), f"{method} {path}"


async def test_redbot_finds_nothing_bad_in_a_picture_as_json(serve: Serve) -> None:
    found = await linted(await serve(), ["1/Image", "1/Image?w=40"], "--accept=application/json")
    for status, *notes in found.values():
        assert status == "200"
        assert names(notes) <= ACCEPTED.keys()


@pytest.mark.parametrize(("enabled", "expected"), [(True, "200"), (False, "404")])
async def test_redbot_finds_nothing_bad_in_the_pages(serve: Serve, enabled: bool, expected: str) -> None:
    found = await linted(await serve(pages={"enabled": enabled}), ["", "docs", "pages/page.js"], below="/")
    assert {status for status, *_ in found.values()} == {expected}
    for _, *notes in found.values():
        assert names(notes) <= ACCEPTED.keys()


async def test_redbot_finds_a_wrong_content_length() -> None:
    """A faulty server shows that REDbot reports errors at all."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: x\r\nETag: none\r\nDate: now\r\n\r\nhello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    process = await asyncio.create_subprocess_exec(sys.executable, str(LINTER), url, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    server.close()
    assert "bad: " in output.decode()
