"""The BLOB agent's operations for a contact's picture, as SuperOffice's client libraries call them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.pixels import shown
from tests.web.conftest import Client, with_shared_client

pytestmark = pytest.mark.usefixtures("people")

AGENT = "/api/v1/Agents/BLOB/"
RAW = {"Accept": "application/octet-stream"}


@with_shared_client
@pytest.mark.parametrize("name", ["contactId", "ContactId", "CONTACTID"])
async def test_bytes_are_the_stored_ones(shared_client: Client, name: str) -> None:
    stored = await (await shared_client.get("/api/v1/Contact/1/Image")).read()
    async with shared_client.post(AGENT + "GetContactImage", json={name: 1}, headers=RAW) as answer:
        assert (answer.status, answer.content_type) == (200, "application/octet-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.read() == stored
    async with shared_client.post(AGENT.lower() + "getcontactimage/", json={name: 1}) as answer:
        assert answer.content_type == "application/json"
        assert base64.b64decode(await answer.json()) == stored


@with_shared_client
@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ({"Width": 80, "Height": 80}, (80, 60)),
        ({"width": 40, "height": 40}, (40, 30)),
        ({"Width": 80, "Height": 0}, (80, 60)),
        ({}, (160, 120)),
    ],
)
async def test_size_is_the_largest_that_fits(
    shared_client: Client, sides: dict[str, int], size: tuple[int, int]
) -> None:
    for _ in range(2):
        async with shared_client.post(
            AGENT + "GetContactImageWithSize", json={"ContactId": 1} | sides, headers=RAW
        ) as answer:
            assert shown(await answer.read()).size == size


@with_shared_client
async def test_answer_is_empty_without_a_picture(shared_client: Client) -> None:
    async with shared_client.post(AGENT + "GetContactImage", json={"ContactId": 404}, headers=RAW) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


@with_shared_client
@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "1",
        "{",
        "{}",
        '{"ContactId": "1"}',
        '{"ContactId": true}',
        '{"ContactId": 2147483648}',
        f'{{"ContactId": 1{"0" * 300}}}',
        '{"ContactId": 1, "Width": "x"}',
        "[" * 1024,
    ],
)
async def test_malformed_body_is_400(shared_client: Client, body: str) -> None:
    async with shared_client.post(AGENT + "GetContactImageWithSize", data=body.encode()) as answer:
        assert answer.status == 400


@with_shared_client
async def test_long_body_is_400_and_other_methods_are_405(shared_client: Client) -> None:
    body = json.dumps({"ContactId": 1, "x": "y" * 2000})
    async with shared_client.post(AGENT + "GetContactImage", data=body) as answer:
        assert answer.status == 400
    async with shared_client.get(AGENT + "GetContactImage") as answer:
        assert answer.status == 405


async def test_picture_that_is_replaced_is_the_new_one(serve: Serve, images: Path) -> None:
    client = await serve()
    for contact in (1, 2):
        data = (images / ("1.jpg", "2.png")[contact - 1]).read_bytes()
        async with client.post(AGENT + "GetContactImage", json={"ContactId": contact}, headers=RAW) as answer:
            assert await answer.read() == data
