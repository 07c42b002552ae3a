"""The HTTP client of whoever asks elsewhere. It carries secrets: follows nobody, keeps nothing, quotes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

_MOST_BYTES = 262_144
_TIMEOUT = aiohttp.ClientTimeout(total=2.0, connect=1.0)


class Unanswered(Exception):
    """There was no answer, or none that can be used. *status* is that of the answer, if there was one.

    *reason* is for the log: it quotes neither the question nor the answer.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """The *body* is read where the status is 200."""

    status: int
    media_type: str
    body: bytes = field(repr=False)


class Client:
    """Asks by GET, over *connections* at most. Opened by the first question."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """What *url* answers within two seconds, 256 KiB at most. Raises `Unanswered`."""
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                body = await _read(response) if response.status == HTTPStatus.OK else b""
                return Answer(response.status, response.content_type, body)
        except aiohttp.ClientConnectorError as error:
            reason = str(error)  # the host, and what the system says of it
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = type(error).__name__  # its text and its request may hold the credential
        raise Unanswered(reason)

    async def close(self) -> None:
        """Close what is open; what is asked afterwards opens it again."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            trust_env=False,
            # What is read is bounded, so it must not grow by decompression.
            auto_decompress=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "contact-image"},
        )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            raise Unanswered("the answer is too large", response.status)
    return bytes(body)
