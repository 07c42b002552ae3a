"""The client of the verifiers verifies the certificates of the servers that it asks."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.access.verifiers import client


@pytest.mark.parametrize("trusted", [True, False])
async def test_server_is_asked_if_an_authority_has_signed_its_certificate(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="{}", content_type="application/json")

    app = web.Application()
    app.router.add_get("/", answer)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(*certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    client._trust.cache_clear()
    asking = client.Client(1)
    client._trust.cache_clear()
    server = TestServer(app)
    await server.start_server(ssl=own)
    url = f"https://localhost:{server.port}/"
    if trusted:
        assert (await asking.get(url, {})).body == b"{}"
    else:
        with pytest.raises(client.NoAnswer, match="certificate"):
            await asking.get(url, {})
    await asking.close()
    await server.close()
