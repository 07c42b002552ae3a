"""Names of hosts that requests may have where reads need no credential (docs/contract.md, section 6)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.settings import BadSettings, load_settings
from tests.conftest import Serve
from tests.web.conftest import Client
from tests.web.raw_http import CLOSE, LAST, PICTURE, answers, parsed, request

pytestmark = pytest.mark.usefixtures("people")

ADDRESSES = ("127.0.0.1", "127.0.0.1:8080", "127.0.0.1.", "10.1.2.3", "[::1]", "[::1]:8080", "[2001:DB8::1]")
FOREIGN = (
    "evil.example", "evil.example:8080", "EVIL.example.", "localhost.evil.example", "127.0.0.1.evil.example", "127.1",
    "2130706433", "0x7f000001", "localhost%2e", "[1.2]", "localhos", "xlocalhost",
)  # fmt: skip
PICTURES = ("localhost", "LocalHost", "localhost:8080", "localhost.", "LOCALHOST.:80", "localhost:")


async def status(client: Client, host: str, target: bytes = PICTURE, method: bytes = b"GET") -> int:
    field = f"Host: {host}\r\n".encode()
    (answer,) = await answers(client, request(target, CLOSE, method=method, host=field))
    if answer.status == 421:
        assert method == b"HEAD" or json.loads(answer.body)["title"] == "Misdirected request"
        assert answer.headers["cache-control"] == "no-store"
        assert not {"etag", "cache-status"} & answer.headers.keys()
    return answer.status


async def start(serve: Serve, *names: str, server: dict[str, Any] | None = None, **sections: Any) -> Client:
    return await serve(server={"allowed_hosts": list(names)} | (server or {}), **sections)


async def test_on_loopback_localhost_is_the_only_name(serve: Serve) -> None:
    client = await start(serve)
    for _ in range(3):  # the last ones are answered on the fast path
        for host in (*PICTURES, *ADDRESSES):
            assert await status(client, host) == 200, host
        for host in FOREIGN:
            assert await status(client, host) == 421, host


async def test_listed_names_are_compared_without_port_case_and_final_dot(serve: Serve) -> None:
    client = await start(serve, "Pictures.Example.", "b.example")
    for _ in range(3):
        for host in ("pictures.example", "PICTURES.EXAMPLE.:443", "b.example", *ADDRESSES):
            assert await status(client, host) == 200, host
        for host in ("a.pictures.example", "example", "localhost", *FOREIGN):
            assert await status(client, host) == 421, host


async def test_foreign_name_gets_nothing_that_was_cached_for_others(serve: Serve) -> None:
    client = await start(serve)
    for target in (PICTURE, b"/api/v1/Contact/1/Imageinfo", b"/metrics", b"/api/v1/Contact/404/Image", b"/x", b"/"):
        for _ in range(3):
            assert await status(client, "localhost", target) in (200, 404)
            for method in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PURGE"):
                assert await status(client, "evil.example", target, method) == 421, (target, method)


async def test_authority_of_an_absolute_target_is_a_name_too(serve: Serve) -> None:
    client = await start(serve, "pictures.example")
    for _ in range(3):
        for server in (
            b"http://pictures.example",
            b"HTTPS://Pictures.example:8443",
            b"http://u@10.0.0.1",
            b"http://[::1]:1",
        ):
            assert await status(client, "pictures.example", server + PICTURE) == 200, server
            assert await status(client, "evil.example", server + PICTURE) == 421, server
        for server in (b"http://evil.example", b"http://evil.example:80", b"http://pictures.example@evil.example"):
            assert await status(client, "pictures.example", server + PICTURE) == 421, server
            assert await status(client, "127.0.0.1", server + PICTURE) == 421, server


async def test_probes_are_answered_by_every_name(serve: Serve) -> None:
    client = await start(serve)
    for target in (b"/healthz", b"/readyz", b"/readyz/?x=1", b"http://evil.example/healthz"):
        assert await status(client, "evil.example", target) == 200, target


async def test_http_1_0_needs_no_host(serve: Serve) -> None:
    client = await start(serve)
    for target in (PICTURE, b"http://127.0.0.1" + PICTURE):
        (answer,) = await answers(client, b"GET " + target + b" HTTP/1.0\r\n\r\n")
        assert answer.status == 200
    (answer,) = await answers(client, b"GET " + PICTURE + b" HTTP/1.0\r\nHost: evil.example\r\n\r\n")
    assert answer.status == 421


@pytest.mark.parametrize(("network", "expected"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 421)])
async def test_trusted_proxy_may_pass_on_any_name(serve: Serve, network: str, expected: int) -> None:
    client = await start(serve, server={"trusted_proxies": [network]})
    for _ in range(3):
        assert await status(client, "pictures.example") == expected
        assert await status(client, "a b") == 400
        assert await status(client, "localhost", b"http://pictures.example" + PICTURE) == expected


async def test_every_name_is_served_beyond_loopback_without_a_list(serve: Serve) -> None:
    client = await start(serve, server={"host": "0.0.0.0"})
    for host in (*FOREIGN, *PICTURES):
        assert await status(client, host) == 200, host


async def test_names_are_free_where_each_read_needs_a_credential(serve: Serve) -> None:
    signed = {"schemes": ["signed"], "signing_keys": ["k1:0123456789abcdef"]}
    client = await start(serve, "pictures.example", auth=signed)
    assert await status(client, "evil.example") == 403
    client = await start(serve, "pictures.example", auth=signed | {"anonymous_read": True})
    assert await status(client, "evil.example") == 421
    assert await status(client, "pictures.example") == 200


@pytest.mark.parametrize("name", ["", "a.example:80", "http://a.example", "*", "a b", "[::1]", "a/b"])
def test_listed_name_is_a_name_alone(name: str) -> None:
    with pytest.raises(BadSettings, match="allowed_hosts"):
        load_settings(server={"allowed_hosts": [name]})


def test_what_is_exposed_without_a_credential_is_known() -> None:
    def exposed(host: str, names: list[str], **auth: Any) -> str:
        return load_settings(server={"host": host, "allowed_hosts": names}, auth=auth).exposed

    signed = {"schemes": ["signed"], "signing_keys": ["k1:0123456789abcdef"]}
    for host in ("127.0.0.1", "::1", "localhost"):
        assert exposed(host, []) == ""
    both = exposed("0.0.0.0", [])
    assert "auth.schemes" in both
    assert "server.allowed_hosts" in both
    assert "server.allowed_hosts" not in exposed("0.0.0.0", ["pictures.example"])
    assert "server.allowed_hosts" in exposed("0.0.0.0", [], **signed, anonymous_read=True)
    assert exposed("0.0.0.0", [], **signed) == ""


async def test_foreign_name_is_refused_behind_hits_of_its_connection(serve: Serve) -> None:
    client = await start(serve)
    hit, foreign = (request(PICTURE, host=f"Host: {host}\r\n".encode()) for host in ("localhost", "evil.example"))
    absolute = request(b"http://evil.example" + PICTURE, host=b"Host: localhost\r\n")
    for sent in (hit, foreign, absolute) * 2:
        await answers(client, sent + LAST)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    for sent, expected in ((hit, 200), (hit, 200), (foreign, 421), (hit, 200), (absolute, 421), (hit, 200)):
        writer.write(sent)  # one at a time, so that hits are answered at once
        (answer,) = parsed(await reader.readuntil(b"\r\n\r\n"), bodies=False)
        await reader.readexactly(int(answer.headers["content-length"]))
        assert answer.status == expected, sent
    writer.close()
