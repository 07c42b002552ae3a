"""Authentication and authorization of requests over HTTP (docs/contract.md, section 7)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tests.access.conftest import ServeSecured, basic, bearer, session, signed, ticket
from tests.access.targets import AS_STORED, REFUSED, WARM, warm
from tests.access.verifiers.tokens import pair
from tests.conftest import Serve
from tests.waiting import until
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("picture")


class TestAnonymousReading:
    async def test_answers_are_public(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured(auth={"anonymous_read": True})
        for _ in range(3):
            async with client.get(WARM) as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"].startswith("public")
        async with client.get(WARM, headers=basic("anna")) as answer:
            assert answer.headers["Cache-Control"].startswith("private")

    async def test_wrong_credentials_are_refused(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured(auth={"anonymous_read": True})
        await warm(client)
        for name, credentials in REFUSED.items():
            if name not in ("no credentials", "no role to read"):
                async with client.get(WARM, headers=credentials()) as answer:
                    assert answer.status in (401, 403), name

    async def test_writes_are_refused(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured(auth={"anonymous_read": True}, writes={"enabled": True})
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
    async def test_role_decides_which_methods_are_allowed(
        self, serve_secured: ServeSecured, images: Path, user: str, statuses: dict[str, int]
    ) -> None:
        client = await serve_secured()
        data = saved(quarters(32, 24), "PNG")
        for method, status in statuses.items():
            body = data if method in ("PUT", "POST") else None
            async with client.request(method, AS_STORED, data=body, headers=basic(user)) as answer:
                assert answer.status == status, method
        assert bool(list(images.glob("1.*"))) == (statuses["DELETE"] == 403)

    async def test_role_is_read_from_claims(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        for claims, status in (
            ({}, 403),
            ({"roles": ["read", "purge"]}, 204),
            ({"scope": "openid purge"}, 204),
            ({"scope": "openid"}, 403),
        ):
            async with client.request("PURGE", AS_STORED, headers=bearer(**claims)) as answer:
                assert answer.status == status, claims

    async def test_write_without_credentials_is_401(self, serve_secured: ServeSecured) -> None:
        client = await serve_secured()
        for method in ("PUT", "DELETE", "PURGE"):
            async with client.request(method, AS_STORED) as answer:
                assert answer.status == 401


async def test_token_without_a_role_may_not_read(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    for claims, status in (({}, 200), ({"scope": "openid"}, 403), ({"roles": []}, 403)):
        async with client.get(WARM, headers=bearer(**claims)) as answer:
            assert answer.status == status, claims


async def test_every_configured_scheme_is_challenged(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    async with client.get(WARM) as answer:
        assert answer.status == 401
        (challenge,) = answer.headers.getall("WWW-Authenticate")
    assert [each.split()[0] for each in challenge.split(", ") if " " in each] == [
        "Basic",
        "Bearer",
        "SoTicket",
        "Session",
    ]


async def test_session_without_its_header_is_401_with_the_name_of_the_header(serve_secured: ServeSecured) -> None:
    client = await serve_secured(auth={"schemes": ["session"]})
    for fields in (session(xsrf=None), {}):
        async with client.get(WARM, headers=fields) as answer:
            assert answer.status == 401
            assert (await answer.json(content_type=None))["Message"] == "X-XSRF-TOKEN HTTP header missing"
    for fields in (session(xsrf="another"), {"X-XSRF-TOKEN": "x"}, {"X-XSRF-TOKEN": "", "Cookie": "XSRF-TOKEN="}):
        async with client.get(WARM, headers=fields) as answer:
            assert answer.status == 401


async def test_equal_cookie_and_header_are_no_proof_of_identity(serve_secured: ServeSecured, superoffice: Any) -> None:
    client = await serve_secured()
    fields = {"Cookie": "ASP.NET_SessionId=forged; XSRF-TOKEN=x", "X-XSRF-TOKEN": "x"}
    async with client.get(WARM, headers=fields) as answer:
        assert answer.status == 401
    assert len(superoffice.requests) == 1


async def test_probes_and_options_need_no_credentials(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 401)):
        async with client.get(path) as answer:
            assert answer.status == status
    async with client.options(WARM) as answer:
        assert answer.status == 204


async def test_superoffice_verifies_a_ticket_once(serve_secured: ServeSecured, superoffice: Any) -> None:
    client = await serve_secured()
    for _ in range(5):
        async with client.get(WARM, headers=ticket()) as answer:
            assert answer.status == 200
    assert len(superoffice.requests) == 1


async def test_remembered_credential_is_accepted_while_superoffice_is_down(
    serve_secured: ServeSecured, superoffice: Any
) -> None:
    client = await serve_secured()
    async with client.get(WARM, headers=ticket()) as answer:
        assert answer.status == 200
    await superoffice.close()
    async with client.get(WARM, headers=ticket()) as answer:
        assert answer.status == 200
    async with client.get(WARM, headers=ticket("7T:another==")) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]


async def test_metrics_have_the_requests_to_superoffice_and_its_breaker(
    serve_secured: ServeSecured, superoffice: Any
) -> None:
    client = await serve_secured()

    async def metric(series: str) -> float:
        async with client.get("/metrics", headers=basic("anna")) as answer:
            lines = (await answer.text()).splitlines()
        return float(next(line for line in lines if line.startswith(f"{series} ")).rpartition(" ")[2])

    requests, breaker = (
        'contact_image_stage_duration_seconds_count{stage="superoffice"}',
        'contact_image_breaker_open{breaker="superoffice"}',
    )
    async with client.get(WARM, headers=ticket()) as answer:
        assert answer.status == 200
    assert (await metric(requests), await metric(breaker)) == (1, 0)
    await superoffice.close()
    for number in range(4):
        async with client.get(WARM, headers=ticket(f"7T:{number}==")) as answer:
            assert answer.status == 503
    assert await metric(breaker) == 1


async def test_guesses_at_one_password_leave_the_other_users_of_the_address(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200
    statuses = []
    for number in range(30):
        async with client.get(WARM, headers=basic("anna", str(number))) as answer:
            statuses.append(answer.status)
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 3
    for user in ("anna", "walter"):  # anna's password was accepted before
        async with client.get(WARM, headers=basic(user)) as answer:
            assert answer.status == 200


async def test_application_token_is_no_part_of_a_password(serve_secured: ServeSecured, superoffice: Any) -> None:
    client = await serve_secured(auth={"users_file": ""})
    for number in range(20):
        async with client.get(WARM, headers=basic("anna") | {"SO-AppToken": f"app-{number}"}) as answer:
            assert answer.status == 200
    assert len(superoffice.requests) == 1


async def test_too_many_wrong_credentials_are_429(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    statuses = []
    for number in range(220):
        async with client.get(WARM, headers=ticket(app_token=str(number))) as answer:
            statuses.append(answer.status)
    assert statuses[:200] == [403] * 200
    assert statuses[-1] == 429
    assert int(answer.headers["Retry-After"]) >= 1
    async with client.get(signed(WARM)) as answer:
        assert answer.status == 200  # signed URLs cannot be guessed, so they are not limited


async def test_changed_users_and_keys_are_in_force_without_a_reload(
    serve_secured: ServeSecured, users: Path, keys: Path, tmp_path: Path
) -> None:
    """Credentials that would be remembered for an hour."""
    file = tmp_path / "users"
    file.write_text(users.read_text("utf-8"), "utf-8")
    client = await serve_secured(auth={"users_file": str(file), "remember_for": 3600})

    async def status(method: str, fields: dict[str, str]) -> int:
        async with client.request(method, AS_STORED, headers=fields) as answer:
            return answer.status

    token = bearer()
    assert [await status("GET", each) for each in (basic("anna"), basic("walter"), token)] == [200] * 3
    assert await status("PURGE", basic("eve")) == 204
    lines = {line.split(":")[0]: line for line in file.read_text("utf-8").splitlines()}
    del lines["anna"]
    lines["eve"] = lines["eve"].replace("purge,", "")
    file.write_text("\n".join(lines.values()), "utf-8")
    keys.write_bytes(pair("p256").pem)
    await until(lambda: client_refuses(status("GET", basic("anna"))), what="anna is refused")
    await until(lambda: client_refuses(status("GET", token)), what="the token is refused")
    assert await status("PURGE", basic("eve")) == 403
    assert [await status("GET", each) for each in (basic("walter"), basic("eve"))] == [200] * 2


async def client_refuses(status: Awaitable[int]) -> bool:
    return await status == 401


async def test_every_change_is_audited_with_its_user_and_result(
    serve_secured: ServeSecured, superoffice: Any, images: Path
) -> None:
    client = await serve_secured(auth={"users_file": ""}, server={"trusted_proxies": ["127.0.0.1"]})
    picture = saved(quarters(32, 24), "PNG")
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    changes: list[tuple[str, dict[str, str], Any, int, str]] = [
        ("PUT", ticket(), picture, 200, "ANNA"),
        ("POST", session(), picture, 200, "ANNA"),
        ("PUT", bearer(roles=["write"], sub="a service"), picture, 200, "a service"),
        ("PUT", basic("anna"), b"no picture", 415, "ANNA"),
        ("PUT", ticket() | {"If-None-Match": "*"}, picture, 412, "ANNA"),
        ("PURGE", bearer(roles=["purge"]), None, 204, "anna"),
        ("DELETE", ticket(), None, 204, "ANNA"),
    ]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        with capture_logs() as events:
            for method, fields, body, status, _ in changes:
                async with client.request(method, AS_STORED, data=body, headers=fields | forwarded) as answer:
                    assert answer.status == status, method
            for fields in ({}, bearer(), basic("anna", "wrong")):  # these are refused, and change nothing
                async with client.request("DELETE", AS_STORED, headers=fields) as answer:
                    assert answer.status in (401, 403)
            async with client.get(WARM, headers=ticket()) as answer:
                assert answer.status == 404
    finally:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    audited = [each for each in events if each["event"] == "audit.change"]
    assert [(each["what"], each["result"], each["who"]) for each in audited] == [
        (method, status, who) for method, _, _, status, who in changes
    ]
    assert {(each["client"], each["contact"], each["log_level"]) for each in audited} == {("192.0.2.7", "1", "info")}


async def test_change_without_credentials_is_audited(serve: Serve) -> None:
    client = await serve(writes={"enabled": True})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        with capture_logs() as events:
            async with client.delete(AS_STORED) as answer:
                assert answer.status == 204
    finally:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    (event,) = (each for each in events if each["event"] == "audit.change")
    assert (event["who"], event["client"], event["what"], event["result"]) == ("anonymous", "127.0.0.1", "DELETE", 204)
