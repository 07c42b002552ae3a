"""The cache never opens the lock: who may not look gets nothing, however warm the picture is, and learns nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.access.conftest import PASSWORD, Locked, basic, bearer, session, signed, ticket
from tests.conftest import Serve, Valkey
from tests.pictures_in_code import quarters, saved
from tests.web.test_coalescing import metric

IMAGE = "/api/v1/Contact/{}/Image"
WARM, AS_STORED, INFO = IMAGE.format(1) + "?w=40", IMAGE.format(1), IMAGE.format(1) + "info"
NOBODY, BLANK = IMAGE.format(404) + "?w=40", IMAGE.format(404) + "?ifBlank=SrNoPhoto"
TARGETS = {"a picture": WARM, "as stored": AS_STORED, "its info": INFO, "no picture": NOBODY, "a placeholder": BLANK}

STRANGERS: dict[str, Callable[[], dict[str, str]]] = {
    "nobody": dict,
    "a wrong password": lambda: basic("anna", PASSWORD + "x"),
    "no such user": lambda: basic("nemo"),
    "an expired token": lambda: bearer(exp=1_700_000_000),
    "a token for others": lambda: bearer(aud="another-service"),
    "a token of others": lambda: bearer(iss="https://login.elsewhere.example"),
    "another tenant's ticket": lambda: ticket("7T:bert=="),
    "another tenant's token": lambda: {"Authorization": "Bearer 8A:Cust2.bert"},
    "no application token": lambda: ticket(app_token=None),
    "another's session": lambda: session("session-of-bert"),
    "a session without its header": lambda: session(xsrf=None),
    "no role to read": lambda: basic("carl"),
    "two credentials": lambda: {"Authorization": basic("anna")["Authorization"] + ", Bearer x"},
    "no scheme of ours": lambda: {"Authorization": "Negotiate abc"},
    "nothing after the scheme": lambda: {"Authorization": "Basic"},
}
READERS: dict[str, Callable[[], dict[str, str]]] = {
    "basic": lambda: basic("anna"),
    "a JSON web token": bearer,
    "a ticket": ticket,
    "a token": lambda: {"Authorization": "bearer 8A:Cust1.anna", "SO-AppToken": "app-token"},
    "a session": session,
}


@pytest.fixture(autouse=True)
def picture(images: Path) -> Path:
    (images / "1.jpg").write_bytes(saved(quarters(160, 120), "JPEG"))
    return images


async def warm(client: TestClient[Any, Any]) -> dict[str, Mapping[str, str]]:
    """Have anna look until everything is warm: her answers' headers, by target."""
    seen = {}
    for target in TARGETS.values():
        for _ in range(3):
            async with client.get(target, headers=basic("anna")) as answer:
                await answer.read()
                seen[target] = answer.headers
    assert "hit" in seen[WARM]["Cache-Status"]
    return seen


async def refused(client: TestClient[Any, Any], seen: dict[str, Mapping[str, str]], who: dict[str, str]) -> None:
    """Require that *who* gets none of it by any way of asking, and the same words of each target."""
    told = set()
    for target in TARGETS.values():
        tag = seen[target].get("ETag", '"x"')
        ways = [("GET", {}), ("HEAD", {}), ("GET", {"If-None-Match": tag}), ("HEAD", {"If-None-Match": f"W/{tag}"})]
        ways += [("GET", {"If-None-Match": "*"}), ("GET", {"Range": "bytes=0-9"})]
        ways += [("GET", {"If-Modified-Since": seen[target].get("Last-Modified", "")})]
        for method, fields in ways:
            async with client.request(method, target, headers=who | fields) as answer:
                body = await answer.read()
                assert answer.status in (401, 403, 429), (target, method, fields)
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.content_type == "application/problem+json"
                assert not {"ETag", "Last-Modified", "Cache-Status", "Server-Timing"} & set(answer.headers)
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"]
                if body and answer.status != 429:
                    problem = json.loads(body)
                    told.add((problem["status"], problem["detail"]))
    assert len(told) <= 1


@pytest.mark.parametrize("name", STRANGERS)
async def test_what_one_has_warmed_no_other_gets(locked: Locked, name: str) -> None:
    client = await locked()
    seen = await warm(client)
    await refused(client, seen, STRANGERS[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200  # and who may look still does


async def test_nor_with_redis_down(locked: Locked, own_valkey: Valkey) -> None:
    client = await locked(url=own_valkey.url)
    seen = await warm(client)
    own_valkey.stop()
    for name in ("nobody", "a wrong password", "an expired token", "no role to read"):
        await refused(client, seen, STRANGERS[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200


async def test_nor_when_it_is_served_stale(locked: Locked, images: Path) -> None:
    client = await locked(cache={"fresh_for": 1, "prefix": "stale-lock"})
    seen = await warm(client)
    images.rename(images.with_name("gone"))
    await asyncio.sleep(1.6)
    for name in ("nobody", "a wrong password", "no role to read"):
        await refused(client, seen, STRANGERS[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200
        assert "ttl=-" in answer.headers["Cache-Status"]
        assert answer.headers["Cache-Control"].startswith("private")


async def test_who_is_refused_costs_no_look_up(locked: Locked) -> None:
    """So that how long a refusal takes cannot tell whether there is a picture."""
    client = await locked()
    await warm(client)
    names = ("contact_image_cache_total", "contact_image_store_reads_total", "contact_image_renders_started_total")
    before = await counts(client, names)
    for stranger in STRANGERS.values():
        for target in TARGETS.values():
            async with client.get(target, headers=stranger()):
                pass
    assert await counts(client, names) == before


async def counts(client: TestClient[Any, Any], names: tuple[str, ...]) -> list[str]:
    async with client.get("/metrics", headers=basic("anna")) as answer:
        return [line for line in (await answer.text()).splitlines() if line.startswith(names)]


@pytest.mark.parametrize("name", READERS)
async def test_who_may_look_gets_it_for_themselves_alone(locked: Locked, name: str) -> None:
    client = await locked()
    for _ in range(3):
        async with client.get(WARM, headers=READERS[name]()) as answer:
            assert answer.status == 200
            assert answer.headers.getall("Cache-Control") == ["private, max-age=300"]
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-site"
            tag = answer.headers["ETag"]
    async with client.get(WARM, headers=READERS[name]() | {"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["Cache-Control"] == "private, max-age=300"
    async with client.get(NOBODY, headers=READERS[name]()) as answer:
        assert answer.status == 404
        assert answer.headers["Cache-Control"] == "private, max-age=5"
    async with client.get(BLANK, headers=READERS[name]()) as answer:
        assert answer.headers["Cache-Control"] == "private, max-age=30"


async def test_all_who_may_look_share_one_render(locked: Locked) -> None:
    client = await locked()
    bodies = set()
    for reader in READERS.values():
        async with client.get(WARM, headers=reader()) as answer:
            bodies.add(await answer.read())
    async with client.get(signed(WARM)) as answer:
        bodies.add(await answer.read())
    assert len(bodies) == 1
    async with client.get("/metrics", headers=basic("anna")) as answer:
        assert "contact_image_renders_started_total 1.0" in await answer.text()


class TestSignedUrls:
    async def test_are_for_everybody_and_never_past_their_end(self, locked: Locked) -> None:
        client = await locked()
        for seconds, kept in ((200_000, "public, max-age=300, s-maxage=3600"), (100, "public, max-age=")):
            url = signed(WARM, seconds)
            for _ in range(3):
                async with client.get(url) as answer:
                    assert answer.status == 200
                    assert answer.headers["Cache-Control"].startswith(kept)
                    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
                    if seconds == 100:
                        told = dict(part.partition("=")[::2] for part in answer.headers["Cache-Control"].split(", "))
                        fresh = max(int(told["max-age"]), int(told["s-maxage"]))
                        assert 90 <= fresh <= 100
                        assert fresh + int(told["stale-while-revalidate"]) <= 100
                        assert fresh + int(told["stale-if-error"]) <= 100
            async with client.head(url, headers={"If-None-Match": answer.headers["ETag"]}) as again:
                assert again.status == 304
                assert again.headers["Cache-Control"].startswith(kept)

    async def test_lead_to_what_others_have_warmed(self, locked: Locked) -> None:
        client = await locked()
        await warm(client)
        async with client.get(signed(WARM)) as answer:
            assert "hit" in answer.headers["Cache-Status"]

    @pytest.mark.parametrize(
        "target",
        [
            signed(WARM, -1),
            signed(WARM, 10**8, "another secret"),
            signed(WARM).replace("w=40", "w=41"),
            signed(WARM).replace("/1/", "/2/"),
            signed(WARM) + "&h=7",
            signed(WARM) + "&utm=1",
            signed(WARM).replace("kid=k1", "kid=k2"),
            WARM + "&sig=abc",
            WARM + "&exp=99999999999",
        ],
        ids=["expired", "other key", "width", "contact", "more", "unknown", "kid", "sig alone", "exp alone"],
    )
    async def test_are_403_when_anything_differs(self, locked: Locked, target: str) -> None:
        client = await locked()
        seen = await warm(client)
        for fields in ({}, {"If-None-Match": seen[WARM]["ETag"]}, basic("anna")):
            async with client.get(target, headers=fields) as answer:
                assert answer.status == 403
                assert "sig=" not in await answer.text()

    async def test_are_for_reading(self, locked: Locked) -> None:
        client = await locked()
        for method in ("PUT", "POST", "DELETE", "PURGE"):
            async with client.request(method, signed(AS_STORED)) as answer:
                assert answer.status == 403

    async def test_are_403_where_nothing_else_is_on(self, locked: Locked) -> None:
        client = await locked(auth={"schemes": ["signed"]})
        async with client.get(WARM) as answer:
            assert answer.status == 403
        async with client.get(signed(WARM), headers={"Authorization": "Basic x"}) as answer:
            assert answer.status == 200

    async def test_say_nothing_where_they_are_off(self, locked: Locked) -> None:
        client = await locked(auth={"schemes": ["basic"], "anonymous_read": True})
        async with client.get(WARM + "&sig=x&kid=y&exp=1") as answer:
            assert answer.status == 200

    async def test_do_not_excuse_a_wrong_credential(self, locked: Locked) -> None:
        client = await locked()
        async with client.get(signed(WARM), headers=basic("anna", "x")) as answer:
            assert answer.status == 401
        async with client.get(signed(WARM), headers=basic("anna")) as answer:
            assert answer.status == 200
            assert answer.headers["Cache-Control"].startswith("private")

    async def test_need_no_session(self, locked: Locked) -> None:
        """A page's `<img>` brings the session's cookie along, and cannot bring its header."""
        client = await locked()
        async with client.get(signed(WARM), headers=session(xsrf=None)) as answer:
            assert answer.status == 200


class TestAnonymousReading:
    async def test_is_public(self, locked: Locked) -> None:
        client = await locked(auth={"anonymous_read": True})
        for _ in range(3):
            async with client.get(WARM) as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"].startswith("public")
        async with client.get(WARM, headers=basic("anna")) as answer:
            assert answer.headers["Cache-Control"].startswith("private")

    @pytest.mark.parametrize("name", [name for name in STRANGERS if name not in ("nobody", "no role to read")])
    async def test_is_not_for_wrong_credentials(self, locked: Locked, name: str) -> None:
        client = await locked(auth={"anonymous_read": True})
        await warm(client)
        async with client.get(WARM, headers=STRANGERS[name]()) as answer:
            assert answer.status in (401, 403)

    async def test_changes_nothing(self, locked: Locked) -> None:
        client = await locked(auth={"anonymous_read": True}, writes={"enabled": True})
        for method in ("PUT", "DELETE", "PURGE"):
            async with client.request(method, AS_STORED) as answer:
                assert answer.status == 401


class TestRoles:
    @pytest.mark.parametrize(
        ("user", "statuses"),
        [
            ("anna", {"GET": 200, "PUT": 403, "POST": 403, "DELETE": 403, "PURGE": 403}),
            ("walter", {"GET": 200, "PUT": 200, "POST": 200, "PURGE": 403, "DELETE": 204}),
            ("carl", {"GET": 403, "PUT": 403, "POST": 403, "DELETE": 403, "PURGE": 204}),
            ("eve", {"GET": 200, "PUT": 200, "POST": 200, "PURGE": 204, "DELETE": 204}),
        ],
    )
    async def test_decide(self, locked: Locked, images: Path, user: str, statuses: dict[str, int]) -> None:
        client = await locked()
        data = saved(quarters(32, 24), "PNG")
        for method, status in statuses.items():
            body = data if method in ("PUT", "POST") else None
            async with client.request(method, AS_STORED, data=body, headers=basic(user)) as answer:
                assert answer.status == status, method
        assert bool(list(images.glob("1.*"))) == (statuses["DELETE"] == 403)

    async def test_stand_in_claims(self, locked: Locked) -> None:
        client = await locked()
        for claims, status in (({}, 403), ({"roles": ["read", "purge"]}, 204), ({"scope": "openid purge"}, 204)):
            async with client.request("PURGE", AS_STORED, headers=bearer(**claims)) as answer:
                assert answer.status == status, claims

    async def test_of_a_stranger_are_not_told_from_missing_ones(self, locked: Locked) -> None:
        client = await locked()
        for method in ("PUT", "DELETE", "PURGE"):
            async with client.request(method, AS_STORED) as answer:
                assert answer.status == 401


async def test_every_scheme_that_is_on_is_asked_for(locked: Locked) -> None:
    client = await locked()
    async with client.get(WARM) as answer:
        assert answer.status == 401
        (challenge,) = answer.headers.getall("WWW-Authenticate")
    assert [each.split()[0] for each in challenge.split(", ") if " " in each] == [
        "Basic",
        "Bearer",
        "SoTicket",
        "Session",
    ]


async def test_a_session_without_its_header_is_told_what_is_missing(locked: Locked) -> None:
    client = await locked(auth={"schemes": ["session"]})
    for fields in (session(xsrf=None), {}):
        async with client.get(WARM, headers=fields) as answer:
            assert answer.status == 401
            assert (await answer.json(content_type=None))["Message"] == "X-XSRF-TOKEN HTTP header missing"
    for fields in (session(xsrf="another"), {"X-XSRF-TOKEN": "x"}, {"X-XSRF-TOKEN": "", "Cookie": "XSRF-TOKEN="}):
        async with client.get(WARM, headers=fields) as answer:
            assert answer.status == 401


async def test_that_cookie_and_header_are_equal_proves_nobody(locked: Locked, superoffice: Any) -> None:
    client = await locked()
    fields = {"Cookie": "ASP.NET_SessionId=forged; XSRF-TOKEN=x", "X-XSRF-TOKEN": "x"}
    async with client.get(WARM, headers=fields) as answer:
        assert answer.status == 401
    assert len(superoffice.asked) == 1


async def test_what_asks_for_nothing_needs_nothing(locked: Locked) -> None:
    client = await locked()
    for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 401)):
        async with client.get(path) as answer:
            assert answer.status == status
    async with client.options(WARM) as answer:
        assert answer.status == 204


async def test_superoffice_is_asked_once_for_a_while(locked: Locked, superoffice: Any) -> None:
    client = await locked()
    for _ in range(5):
        async with client.get(WARM, headers=ticket()) as answer:
            assert answer.status == 200
    assert len(superoffice.asked) == 1


async def test_without_superoffice_who_is_known_goes_on_and_others_wait(locked: Locked, superoffice: Any) -> None:
    client = await locked()
    async with client.get(WARM, headers=ticket()) as answer:
        assert answer.status == 200
    await superoffice.close()
    async with client.get(WARM, headers=ticket()) as answer:
        assert answer.status == 200
    async with client.get(WARM, headers=ticket("7T:another==")) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]


async def test_too_many_wrong_ones_are_429(locked: Locked) -> None:
    client = await locked()
    statuses = []
    for number in range(40):
        async with client.get(WARM, headers=ticket(app_token=str(number))) as answer:
            statuses.append(answer.status)
    assert statuses[0] == 403
    assert statuses[-1] == 429
    assert int(answer.headers["Retry-After"]) >= 1
    async with client.get(signed(WARM)) as answer:
        assert answer.status == 200  # what cannot be guessed is not held up


async def test_renders_are_counted_as_before(serve: Serve) -> None:
    client = await serve()
    async with client.get(WARM) as answer:
        assert answer.status == 200
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert await metric(client, "contact_image_renders_started_total") == 1
