"""Spans of the requests that verifiers send for a traced request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.access.conftest import APP_TOKEN, TICKET, ticket
from tests.access.verifiers.conftest import RemoteServer, as_json, principal
from tests.collector import Collector, Span, collecting
from tests.conftest import Serve
from tests.web.conftest import populated

PATH = "/api/v1/Contact/1/Image?w=20"


@pytest.fixture
async def remote() -> AsyncIterator[RemoteServer]:
    server = RemoteServer()
    await server.start()
    yield server
    await server.stop()


async def traced(serve: Serve, remote: RemoteServer, collector: Collector, ratio: float) -> TestClient[Any, Any]:
    auth = {"schemes": ["soticket"], "superoffice_url": remote.url, "app_tokens": [APP_TOKEN]}
    return await serve(auth=auth, tracing={"endpoint": collector.url, "ratio": ratio})


async def root(collector: Collector) -> Span:
    (found,) = await asyncio.to_thread(collector.wait_for, 1)
    return found


async def test_request_to_superoffice_is_a_child_and_tells_the_trace(
    serve: Serve, remote: RemoteServer, images: Any
) -> None:
    populated(images)
    remote.answers = [as_json(principal())]
    with collecting() as collector:
        client = await traced(serve, remote, collector, 1)
        assert (await client.get(PATH, headers=ticket())).status == 200
        of = await root(collector)
        (sent,) = collector.of(of.trace)["GET"]
        assert sent.parent == of.id
        assert sent.attributes == {
            "http.request.method": "GET",
            "server.address": "127.0.0.1",
            "http.response.status_code": 200,
        }
        (passed_on,) = (request.headers["traceparent"] for request in remote.requests)
        assert passed_on.startswith(f"00-{of.trace}-{sent.id}-")
        assert int(passed_on[-2:], 16) & 1  # it is sampled
        sent_bytes = b"".join(collector.bodies)
        assert TICKET.encode() not in sent_bytes
        assert APP_TOKEN.encode() not in sent_bytes


async def test_superoffice_that_does_not_answer_is_an_error_of_its_span(
    serve: Serve, remote: RemoteServer, images: Any
) -> None:
    populated(images)
    with collecting() as collector:
        client = await traced(serve, remote, collector, 1)
        await remote.stop()
        assert (await client.get(PATH, headers=ticket())).status == 503
        of = await root(collector)
        sent = collector.of(of.trace)["GET"]
        assert {each.error for each in sent} == {True}
        assert {each.attributes["error.type"] for each in sent} == {"ClientConnectorError"}
        assert of.error


async def test_request_that_is_not_traced_sends_no_context(serve: Serve, remote: RemoteServer, images: Any) -> None:
    populated(images)
    remote.answers = [as_json(principal())]
    with collecting() as collector:
        client = await traced(serve, remote, collector, 0)
        assert (await client.get(PATH, headers=ticket())).status == 200
        assert [request.headers.get("traceparent") for request in remote.requests] == [None]
