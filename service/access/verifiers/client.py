"""The HTTP client of the verifiers. It carries secrets: it follows no redirect, stores no cookie and quotes nothing."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus

import aiohttp

_MAX_BYTES = 262_144
"""Bytes of a response's body."""
TRACE_CONFIGS: list[aiohttp.TraceConfig] = []
"""What observes the requests of clients that have not sent any yet. Where requests are traced, there is one."""
_TIMEOUT = aiohttp.ClientTimeout(total=2.0, connect=1.0)


class NoAnswer(Exception):
    """There was no response, or none that can be used. *status* is the response's, if there was one.

    *reason* is for the log: it quotes neither the request nor the response.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. The *body* is empty unless the status is 200."""

    status: int
    media_type: str
    body: bytes = field(repr=False)


class Client:
    """Sends GET requests over at most *connections* connections. The first request opens it."""

    def __init__(self, connections: int) -> None:
        self._connections, self._trust = connections, _trust()
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Return the response of *url*, of at most 256 KiB and within two seconds. Raise `NoAnswer`."""
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                body = await _read(response) if response.status == HTTPStatus.OK else b""
                return Answer(response.status, response.content_type, body)
        except aiohttp.ClientConnectorError as error:
            reason = str(error)  # the host and the system's message
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = type(error).__name__  # its text and its request may hold the credential
        raise NoAnswer(reason)

    async def close(self) -> None:
        """Close the connections. A later request opens new ones."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._trust),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            trust_env=False,
            # The body is bounded, so it must not grow by decompression.
            auto_decompress=False,
            trace_configs=[*TRACE_CONFIGS],
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "contact-image"},
        )


@cache
def _trust() -> ssl.SSLContext:
    """Return a context with the certificates of all authorities. aiohttp's own has none: see `serving/run.py`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MAX_BYTES:
            raise NoAnswer("the answer is too large", response.status)
    return bytes(body)
