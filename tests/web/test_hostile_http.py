"""Hostile requests: odd ids, spellings and methods, and long fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from service.protocol.signatures import sign
from tests.conftest import Serve
from tests.web.raw_http import CLOSE, PICTURE, answers, request
from tests.web.test_coalescing import metric
from tests.web.test_foreign_fields import FOREIGN, comparable
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

IDS = {
    "../1": 404, "..%2f1": 400, "%2e%2e%2f1": 400, "%2e%2e/1": 404, "..%5c1": 400, "..\\1": 400, "1%00": 400,
    "%00": 400,
    "1%0d%0aX:1": 400, "%D9%A1": 400, "%EF%BC%91": 400, "%C2%B2": 400, "%F0%9D%9F%8F": 400, "%ff": 400, "%zz": 400,
    "1;2": 400, "1,2": 400, "+1": 400, "%2B1": 400, "1.0": 400, "0x1": 400, "1e3": 400, "1_0": 400, "%201": 400,
    "1%20": 400, "1%0a": 400, "--1": 400, "-": 400, "": 404, "1" * 11: 400, "9" * 5_000: 400, "2147483648": 400,
    "-2147483649": 400, "%2fetc%2fpasswd": 400, "secret": 400, "1.jpg": 400, "$1": 400, "'1'": 400, "{1}": 404,
    "*": 400, "?": 404, "None": 400, "true": 400, "NaN": 400, "%E2%88%921": 400,
}  # fmt: skip
IMPOSSIBLE = ["0", "-1", "-0", "2147483647", "-2147483648"]


async def test_odd_id_is_4xx_without_a_look_at_any_file(serve: Serve, images: Path) -> None:
    (images.parent / "1.jpg").write_bytes(saved(quarters(8, 8), "JPEG"))  # where `..` would lead
    (images / "secret.jpg").write_bytes(saved(quarters(8, 8), "JPEG"))
    client = await serve(writes={"enabled": True})
    for text, status in IDS.items():
        for path in (
            f"/api/v1/Contact/{text}/Image",
            f"/api/v1/contact/{text}/image?w=8",
            f"/api/v1/Contact/{text}/Imageinfo",
        ):
            (answer,) = await answers(client, request(path.encode(), CLOSE))
            assert (answer.status, answer.is_problem) == (status, True), path
        for method in (b"PUT", b"DELETE", b"PURGE"):
            sent = request(f"/api/v1/Contact/{text}/Image".encode(), CLOSE, method=method)
            (answer,) = await answers(client, sent)
            assert (answer.status, answer.is_problem) == (status, True), (method, text)
    assert await metric(client, "contact_image_store_reads_total") == 0
    assert sorted(each.name for each in images.parent.glob("*.jpg")) == ["1.jpg"]


async def test_impossible_contact_has_no_picture(serve: Serve) -> None:
    client = await serve()
    for text in IMPOSSIBLE:
        assert (await client.get(f"/api/v1/Contact/{text}/Image", headers={"Accept": "*/*"})).status == 404, text


async def test_leading_zeros_of_an_id_are_ignored(serve: Serve) -> None:
    client = await serve()
    padded = await client.get("/api/v1/Contact/0000000001/Image?w=20")
    plain = await client.get("/api/v1/Contact/1/Image?w=20")
    assert (padded.status, padded.headers["ETag"]) == (200, plain.headers["ETag"])
    assert await padded.read() == await plain.read()


SPELLINGS = (
    b"/api/v1/Contact/1/Image?w=20", b"/API/V1/contact/1/IMAGE?W=20", b"/api/v1/Contact/%31/Image?w=20",
    b"/api/v1/%43ontact/1/Image?w=20", b"/api/v1/Contact/1/Image?w=%32%30", b"/api/v1/Contact/1/Image?w=20&",
    b"/api/v1/Contact/1/Image?w=20&w=20", b"/api/v1/Contact/1/Image?&w=20", b"/api/v1/Contact/1/Image",
    b"/api/v1/Contact/1/Image?",
    b"//api/v1/Contact/1/Image?w=20", b"/./api/v1/Contact/1/Image?w=20", b"/x/../api/v1/Contact/1/Image?w=20",
    b"/%2e/api/v1/Contact/1/Image?w=20", b"/healthz/../api/v1/Contact/1/Image?w=20", b"/api/v1/Contact/1/Image/?w=20",
    b"/api/v1/Contact/1/Image;x?w=20", b"/api/v1/Contact/1/Image%3Fw=20", b"/api/v1/Contact/1/Image%20?w=20",
    b"/api/v1/Contact/01/Image?w=20", b"/healthz?/api/v1/Contact/1/Image?w=20", b"/api/v1/Contact/1/Imageinfo",
    b"/metrics",
    b"http://pictures.example/api/v1/Contact/1/Image?w=20", b"HTTP://u@[::1]/api/v1/Contact/1/Image?w=20",
)  # fmt: skip


async def test_no_spelling_of_a_target_and_no_foreign_field_bypasses_authorization(serve: Serve) -> None:
    client = await serve(auth={"schemes": ["signed"], "signing_keys": ["k1:secret-of-the-tests"]})
    link = sign(PICTURE.decode(), "k1", b"secret-of-the-tests", 99_999_999_999)
    assert (await client.get(URL(link, encoded=True))).status == 200  # it is cached now
    fields = [b"", *(f"{name}: {value}\r\n".encode("latin-1") for name, value in FOREIGN.items())]
    requests = [(method, target, b"") for target in SPELLINGS for method in (b"GET", b"HEAD")]
    requests += [(b"GET", PICTURE, field) for field in fields]
    for method, target, field in requests:
        found = await answers(client, request(target, field + CLOSE, method=method))
        assert len(found) == 1, (target, field)
        public = found[0].status == 200 and target.startswith(b"/healthz?")
        assert public or found[0].status in (403, 404), (method, target, field)
        assert not {"etag", "cache-status"} & found[0].headers.keys(), (method, target, field)


async def test_absolute_target_is_answered_like_its_path(serve: Serve) -> None:
    client = await serve()
    (plain,) = await answers(client, request(PICTURE, CLOSE))
    for server in (b"http://pictures.example", b"https://Pictures.Example.:8443", b"HTTP://user:word@[::1]"):
        (answer,) = await answers(client, request(server + PICTURE, CLOSE))
        assert comparable(answer) == comparable(plain)


async def test_target_that_begins_with_two_slashes_names_no_server(serve: Serve) -> None:
    client = await serve()
    for target in (b"//evil.example" + PICTURE, b"//[" + PICTURE, b"///", b"/%2f" + PICTURE):
        (answer,) = await answers(client, request(target, CLOSE))
        assert (answer.status, answer.is_problem) == (404, True), target
        assert "location" not in answer.headers


async def test_options_of_the_server_lists_the_methods(serve: Serve) -> None:
    client = await serve()
    (answer,) = await answers(client, request(b"*", CLOSE, method=b"OPTIONS"))
    assert answer.status == 204
    assert {"GET", "HEAD", "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    assert answer.headers["server"] == "contact-image"


async def test_trace_echoes_nothing(serve: Serve) -> None:
    client = await serve()
    (answer,) = await answers(client, request(fields=b"Cookie: hunter2\r\nConnection: close\r\n", method=b"TRACE"))
    assert answer.status == 405
    assert b"hunter2" not in answer.body


async def test_upgrade_is_declined(serve: Serve) -> None:
    client = await serve()
    for protocol in (b"websocket", b"h2c", b"TLS/1.0"):
        fields = (
            b"Connection: close, Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: " + protocol + b"\r\n"
        )
        (answer,) = await answers(client, request(fields=fields))
        assert answer.status == 200


async def test_long_fields_are_read(serve: Serve) -> None:
    client = await serve()
    close, most = CLOSE, 8_000
    ranges = (b"image/x;q=0.1, " * most)[:most].rpartition(b",")[0]
    languages = (b"de-DE;q=0.5, " * most)[:most].rpartition(b",")[0]
    for fields in (
        b"Accept: " + ranges + b", image/png\r\n",
        b"Accept-Language: " + languages + b"\r\nAccept: image/png\r\n",
        b"Cookie: " + b"a=1; " * (most // 5) + b"\r\nAccept: image/png\r\n",
        b"Accept: image/png\r\n" + b"".join(b"X-%d: 1\r\n" % each for each in range(97)),
    ):
        (answer,) = await answers(client, request(fields=fields + close))
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")


async def test_field_in_several_lines_that_are_too_long_together_is_ignored(serve: Serve) -> None:
    client = await serve()
    lines = (b"Accept: " + b"image/x;q=0.1, " * 400 + b"\r\n") * 5  # 30 kB
    (answer,) = await answers(client, request(fields=lines + CLOSE))
    assert answer.status == 200
