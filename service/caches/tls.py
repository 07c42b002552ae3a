"""Finds out, after a failed connection, whether a Redis URL and its port disagree about TLS."""

from __future__ import annotations

import asyncio
import ssl

from redis.asyncio.connection import SSLConnection, parse_url

_TIMEOUT = 0.5
"""Seconds for the connection and the first byte of the reply."""
_PING = b"PING\r\n"
_REPLY = (b"+", b"-")
"""The first byte of a Redis server's reply without TLS: PONG, or an error such as NOAUTH."""
_TLS = (b"\x15", b"\x16")
"""The first byte of a TLS server's reply: an alert or a handshake record (RFC 8446 section 5.1)."""


async def disagreement(url: str) -> str | None:
    """Return why the scheme of *url* is wrong, if the port's reply shows that; else None. It never raises."""
    options = parse_url(url)
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    if "path" in options:  # a unix socket has no TLS
        return None
    wanted = options.get("connection_class") is SSLConnection
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(_TIMEOUT):
            if wanted and await _first_byte(host, port, _PING) in _REPLY:
                return f"the URL begins with rediss:// (TLS), but {where} answers without TLS: use redis://"
            if not wanted and await _first_byte(host, port, _hello(host)) in _TLS:
                return f"the URL begins with redis:// (no TLS), but {where} answers with TLS: use rediss://"
    except (OSError, TimeoutError, ValueError):
        pass  # no server replies here, which the caller's own error says
    return None


async def _first_byte(host: str, port: int, sent: bytes) -> bytes:
    """Return the first byte of the reply to *sent*; empty if the server closes the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(sent)
        return await reader.read(1)
    finally:
        writer.transport.abort()


def _hello(host: str) -> bytes:
    """Return the first message of a TLS client. No handshake follows, so the certificate does not matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        pass  # the handshake waits for the server
    return sent.read()
