"""Signed URLs: all clients may read one rendition until they expire (docs/contract.md, section 7)."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from service.pictures.contact_pictures import ContactPictures
from service.protocol.signatures import sign
from service.web.keys import AUTHENTICATOR
from tests.access.conftest import KEY, ServeSecured, basic, session, signed
from tests.access.targets import AS_STORED, MISSING, WARM, warm
from tests.web.conftest import Client

pytestmark = pytest.mark.usefixtures("picture")


async def blob_id(client: Client) -> int:
    async with client.get(AS_STORED.replace("/Image", "/Imageinfo"), headers=basic("anna")) as answer:
        return int((await answer.json())["BlobId"])


class TestSignedUrls:
    async def test_answer_is_public_and_fresh_until_the_url_expires(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        for seconds, kept in ((200_000, "public, max-age=300, s-maxage=3600"), (100, "public, max-age=")):
            url = signed(WARM, seconds)
            for _ in range(3):
                async with client.get(url) as answer:
                    assert answer.status == 200
                    assert answer.headers["Cache-Control"].startswith(kept)
                    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
                    if seconds == 100:
                        directives = dict(
                            part.partition("=")[::2] for part in answer.headers["Cache-Control"].split(", ")
                        )
                        fresh = max(int(directives["max-age"]), int(directives["s-maxage"]))
                        assert 90 <= fresh <= 100
                        assert fresh + int(directives["stale-while-revalidate"]) <= 100
                        assert fresh + int(directives["stale-if-error"]) <= 100
            async with client.head(url, headers={"If-None-Match": answer.headers["ETag"]}) as again:
                assert again.status == 304
                assert again.headers["Cache-Control"].startswith(kept)

    async def test_name_is_signed_and_what_is_remembered_is_without_it(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured(auth={"schemes": ["signed"]})
        for target in (f"{MISSING}&ifBlank=Initials&name=Zyx+Quux", f"{WARM}&name=Zyx+Quux&ifBlank=Initials"):
            url = signed(target)
            for _ in range(3):
                async with client.get(url) as answer:
                    assert answer.status == 200
            async with client.get(url.replace("Quux", "Quuz")) as answer:
                assert answer.status == 403
            authenticator = client.server.app[AUTHENTICATOR]  # type: ignore[attr-defined]
            known = authenticator.known_requester(make_mocked_request("GET", url))
            assert known is not None
            assert known.target == target.replace("&name=Zyx+Quux", "")

    async def test_named_version_ends_with_the_url_and_is_not_immutable(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        version = await blob_id(client)
        for _ in range(3):  # the later requests are repeats
            async with client.get(signed(f"{AS_STORED}?v={version}", 1000)) as answer:
                kept = answer.headers["Cache-Control"]
                assert kept.startswith("public, max-age=")
                assert 900 < int(kept.rpartition("=")[2]) <= 1000

    async def test_named_version_with_credentials_is_kept_as_any_picture(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        for version in (await blob_id(client), 1):
            for _ in range(3):
                async with client.get(f"{AS_STORED}?v={version}", headers=basic("anna")) as answer:
                    assert answer.headers["Cache-Control"] == "private, max-age=300"

    async def test_answer_with_credentials_is_fresh_until_the_url_expires(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        for _ in range(3):  # the later requests are repeats
            async with client.get(signed(WARM, 10), headers=basic("carl")) as answer:
                assert answer.status == 200  # the URL adds the role read
                kept = answer.headers["Cache-Control"]
                assert kept.startswith("private, max-age=")
                assert int(kept.partition("=")[2]) <= 10

    async def test_slow_render_does_not_prolong_freshness(
        self, serve_secured: ServeSecured, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await serve_secured()
        load = ContactPictures.load

        async def slow(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(2)
            return await load(*args, **options)

        monkeypatch.setattr(ContactPictures, "load", slow)
        end = int(time.time()) + 10
        async with client.get(sign(WARM, "k1", KEY.encode(), end)) as answer:
            sent = parsedate_to_datetime(answer.headers["Date"]).timestamp()
            assert sent + int(answer.headers["Cache-Control"].partition("max-age=")[2].partition(",")[0]) <= end

    async def test_signed_request_hits_the_common_cache(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        await warm(client)
        async with client.get(signed(WARM)) as answer:
            assert "hit" in answer.headers["Cache-Status"]

    async def test_slash_at_the_end_of_the_path_is_accepted(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured(auth={"schemes": ["signed"]})
        slashed = signed(WARM).replace("/Image?", "/Image/?")
        seen = []
        for url in (signed(WARM), *[slashed] * 3, signed(WARM.replace("/Image?", "/Image/?"))):
            for method in ("GET", "HEAD"):
                async with client.request(method, url) as answer:
                    assert answer.status == 200
                    seen.append((answer.headers["ETag"], answer.headers["Content-Length"]))
        assert len(set(seen)) == 1
        async with client.get(slashed.replace("/Image/?", "/Image//?")) as answer:
            assert answer.status == 404
        async with client.get(slashed.replace("w=40", "w=41")) as answer:
            assert answer.status == 403

    async def test_altered_url_is_403(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        seen = await warm(client)
        for name, target in {
            "expired": signed(WARM, -1),
            "other key": signed(WARM, 10**8, "another secret"),
            "width": signed(WARM).replace("w=40", "w=41"),
            "contact": signed(WARM).replace("/1/", "/2/"),
            "more": signed(WARM) + "&h=7",
            "unknown": signed(WARM) + "&utm=1",
            "kid": signed(WARM).replace("kid=k1", "kid=k2"),
            "sig alone": WARM + "&sig=abc",
            "exp alone": WARM + "&exp=99999999999",
        }.items():
            for fields in ({}, {"If-None-Match": seen[WARM]["ETag"]}, basic("anna")):
                async with client.get(target, headers=fields) as answer:
                    assert answer.status == 403, name
                    assert "sig=" not in await answer.text()

    async def test_writes_are_403(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        for method in ("PUT", "POST", "DELETE", "PURGE"):
            async with client.request(method, signed(AS_STORED)) as answer:
                assert answer.status == 403

    async def test_read_by_another_method_is_403(self, serve_secured: ServeSecured) -> None:
        """The signature names no contact, and would be one for all of them."""
        client = await serve_secured()
        url = signed("/api/v1/Agents/BLOB/GetContactImage")
        async with client.post(url, json={"ContactId": 7}) as answer:
            assert answer.status == 403
        async with client.post(url, json={"ContactId": 7}, headers=basic("anna")) as answer:
            assert answer.status == 200

    async def test_missing_signature_is_403_when_no_other_scheme_is_configured(
        self, serve_secured: ServeSecured
    ) -> None:
        client = await serve_secured(auth={"schemes": ["signed"]})
        async with client.get(WARM) as answer:
            assert answer.status == 403
        async with client.get(signed(WARM), headers={"Authorization": "Basic x"}) as answer:
            assert answer.status == 200

    async def test_parameters_of_a_signature_are_ignored_without_the_scheme(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured(auth={"schemes": ["basic"], "anonymous_read": True})
        async with client.get(WARM + "&sig=x&kid=y&exp=1") as answer:
            assert answer.status == 200

    async def test_wrong_credentials_are_refused_in_spite_of_a_signature(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        async with client.get(signed(WARM), headers=basic("anna", "x")) as answer:
            assert answer.status == 401
        async with client.get(signed(WARM), headers=basic("anna")) as answer:
            assert answer.status == 200
            assert answer.headers["Cache-Control"].startswith("private")

    async def test_signed_url_needs_no_session_header(self, serve_secured: ServeSecured) -> None:
        """A page's `<img>` sends the session's cookie, and cannot send its header."""
        client = await serve_secured()
        async with client.get(signed(WARM), headers=session(xsrf=None)) as answer:
            assert answer.status == 200
