"""Who is let in, to do what, and what those are told who are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.access.conftest import Locked, basic, bearer, session, signed, ticket
from tests.access.targets import AS_STORED, STRANGERS, WARM, warm
from tests.pictures_in_code import quarters, saved

pytestmark = pytest.mark.usefixtures("picture")


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
