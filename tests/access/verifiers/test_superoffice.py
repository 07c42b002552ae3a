"""Verification by SuperOffice: the requests that it gets, and how its answers are read."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.access.identity import EVERYTHING, READER, Role
from service.access.schemes import Basic, Bearer, Credential, Session, SoTicket
from service.access.verifiers.superoffice import SuperOffice
from service.errors import Forbidden, NotAuthenticated, VerificationUnavailable
from tests.access.verifiers.conftest import RemoteServer, as_json, as_text, principal

WRITER = frozenset((Role.READ, Role.WRITE))
TICKET = SoTicket("7T:TQBhAHIAawA=")
ALL = [Basic("tje0", ""), Bearer("8A:Cust12345.abc"), TICKET, Session("s1", "x1")]


@pytest.fixture
async def superoffice(remote: RemoteServer) -> AsyncIterator[SuperOffice]:
    remote.answers = [as_json(principal())]
    verifier = SuperOffice(f"{remote.url}/Cust12345/", session_cookie="SoSession")
    yield verifier
    await verifier.close()


async def refused(verifier: SuperOffice, credential: Credential = TICKET, app_token: str | None = None) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await verifier.verify(credential, app_token)
    assert str(caught.value) == "The credentials are wrong."


@pytest.mark.parametrize(
    ("credential", "authorization"),
    [
        (Basic("tje0", "Tje0"), "Basic dGplMDpUamUw"),
        (Basic("tje0", ""), "Basic " + b64encode(b"tje0:").decode()),
        (Basic("jörg", "a:b €"), "Basic " + b64encode("jörg:a:b €".encode()).decode()),
        (Bearer("8A:Cust12345.abc"), "Bearer 8A:Cust12345.abc"),
        (TICKET, "SOTicket 7T:TQBhAHIAawA="),
    ],
)
async def test_credential_is_sent_as_it_is(
    remote: RemoteServer, superoffice: SuperOffice, credential: Credential, authorization: str
) -> None:
    assert (await superoffice.verify(credential, None)).roles == WRITER
    [request] = remote.requests
    assert (request.method, request.path) == ("GET", "/Cust12345/api/v1/User/currentPrincipal")
    assert request.headers["Authorization"] == authorization
    assert request.headers["Accept"] == "application/json"
    assert "Cookie" not in request.headers and "SO-AppToken" not in request.headers


async def test_session_is_sent_as_two_cookies_and_the_header(remote: RemoteServer, superoffice: SuperOffice) -> None:
    assert (await superoffice.verify(Session("abc-DEF_1%2B=", "t0ken/+="), None)).roles == WRITER
    [request] = remote.requests
    assert request.headers["Cookie"] == "SoSession=abc-DEF_1%2B=; XSRF-TOKEN=t0ken/+="
    assert request.headers["X-XSRF-TOKEN"] == "t0ken/+="
    assert "Authorization" not in request.headers


async def test_application_token_is_sent_except_with_a_password(remote: RemoteServer, superoffice: SuperOffice) -> None:
    for credential in ALL:
        await superoffice.verify(credential, "app 1")
    sent = [request.headers.get("SO-AppToken") for request in remote.requests]
    assert sent == [None if isinstance(each, Basic) else "app 1" for each in ALL]


async def test_cookie_of_an_answer_is_not_sent_again(remote: RemoteServer, superoffice: SuperOffice) -> None:
    remote.answers = [as_text("{}", "application/json", **{"Set-Cookie": "SoSession=another; Path=/"})]
    await refused(superoffice)
    await refused(superoffice)
    assert len(remote.requests) == 2
    assert all("Cookie" not in request.headers for request in remote.requests)


@pytest.mark.parametrize(
    "value",
    ["a; SoSession=b", "a;b", "a\r\nX-Evil: 1", "a\nb", "a\x00b", "a b", 'a"b', "a\\b", "a,b", "ä", "", "\udcff"],
)
async def test_unsafe_value_of_a_cookie_is_not_sent(remote: RemoteServer, superoffice: SuperOffice, value: str) -> None:
    await refused(superoffice, Session(value, "x1"))
    await refused(superoffice, Session("s1", value))
    assert not remote.requests


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a b", "a\x00", "ä", "", "\udcff"])
async def test_unsafe_value_of_a_header_is_not_sent(remote: RemoteServer, superoffice: SuperOffice, value: str) -> None:
    await refused(superoffice, Bearer(value))
    await refused(superoffice, SoTicket(value))
    if value and value != "a b":
        with pytest.raises(Forbidden, match="SO-AppToken is missing or wrong"):
            await superoffice.verify(TICKET, value)
    assert not remote.requests


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({}, WRITER),
        ({"FunctionRights": ["admin-all", "admin-users"]}, EVERYTHING),
        ({"FunctionRights": ["admin-users", "admin-lists"]}, WRITER),
        ({"FunctionRights": "admin-all"}, WRITER),
        ({"FunctionRights": None}, WRITER),
        ({"UserType": "SystemAssociate", "RoleType": "System"}, WRITER),
        ({"UserType": "SystemAssociate", "RoleType": "System", "FunctionRights": ["admin-all"]}, EVERYTHING),
        ({"UserType": "ExternalAssociate", "RoleType": "ExternalUser"}, READER),
        ({"UserType": "ExternalAssociate", "FunctionRights": ["admin-all"]}, READER),
        ({"UserType": "ResourceAssociate"}, READER),
        ({"UserType": "Unknown"}, READER),
        ({"UserType": None, "RoleType": None}, READER),
        ({"AssociateId": None}, WRITER),
        ({"AssociateId": None, "Associate": None}, WRITER),
        ({"Associate": None, "UserName": None}, WRITER),
    ],
)
async def test_roles_follow_the_user_type_and_the_function_rights(
    remote: RemoteServer, superoffice: SuperOffice, changes: dict[str, Any], roles: frozenset[Role]
) -> None:
    remote.answers = [as_json(principal(**changes))]
    identity = await superoffice.verify(TICKET, None)
    assert identity.roles == roles
    assert identity.until is None


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        [],
        [principal()],
        None,
        True,
        7,
        "tje0",
        {"Error": True, "ErrorMessage": "Not logged in"},
        {"UserType": "InternalAssociate"},
        principal(UserType="AnonymousAssociate"),
        principal(UserType="anonymousassociate"),
        principal(RoleType="Anonymous"),
        principal(UserType=4),
        principal(UserType=["InternalAssociate"]),
        principal(RoleType=2),
        principal(AssociateId=0),
        principal(AssociateId=-1),
        principal(AssociateId="7"),
        principal(AssociateId=True),
        principal(AssociateId=7.0),
        principal(AssociateId=None, Associate="", UserName=""),
        principal(AssociateId=None, Associate=7, UserName=[]),
    ],
)
async def test_answer_without_a_named_user_is_a_refusal(
    remote: RemoteServer, superoffice: SuperOffice, carrier: object
) -> None:
    remote.answers = [as_json(carrier)]
    await refused(superoffice)
    assert len(remote.requests) == 1


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("<html><form>Log in</form></html>", "text/html"),
        ('{"AssociateId": 7, "Associate": "tje0"}', "text/html"),
        ('{"AssociateId": 7, "Associate": "tje0"}', "text/plain"),
        ("", "application/json"),
        (" \r\n ", "application/json"),
        ("", "text/html"),
    ],
)
async def test_login_page_and_empty_answer_are_refusals(
    remote: RemoteServer, superoffice: SuperOffice, text: str, media_type: str
) -> None:
    remote.answers = [as_text(text, media_type)]
    await refused(superoffice)
    assert len(remote.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("credential", ALL, ids=lambda each: type(each).__name__)
async def test_refusal_is_not_retried(
    remote: RemoteServer, superoffice: SuperOffice, credential: Credential, status: int
) -> None:
    remote.answers = [as_json(principal(), status=status)]
    await refused(superoffice, credential)
    assert len(remote.requests) == 1


@pytest.mark.parametrize("status", [302, 303, 307])
async def test_redirect_is_not_followed(remote: RemoteServer, superoffice: SuperOffice, status: int) -> None:
    remote.answers = [as_text("", "text/html", status, Location=f"{remote.url}/login"), as_json(principal())]
    await refused(superoffice)
    assert len(remote.requests) == 1


@pytest.mark.parametrize("status", [201, 204, 301, 308, 400, 404, 406])
async def test_answer_of_another_server_is_unavailable(
    remote: RemoteServer, superoffice: SuperOffice, status: int
) -> None:
    remote.answers = [as_text("", "text/html", status, Location=f"{remote.url}/login"), as_json(principal())]
    with pytest.raises(VerificationUnavailable, match="cannot be verified at the moment"):
        await superoffice.verify(TICKET, None)
    assert len(remote.requests) == 1


@pytest.fixture
async def strict(remote: RemoteServer) -> AsyncIterator[SuperOffice]:
    """A verifier that requires an application token with tickets and tokens."""
    remote.answers = [as_json(principal())]
    verifier = SuperOffice(remote.url, session_cookie="SoSession", app_tokens=["app-1", "app-ö"])
    yield verifier
    await verifier.close()


@pytest.mark.parametrize("app_token", [None, "", "app-2", "app-", "app-1 ", "APP-1", "app-1,app-2", "\udcff"])
@pytest.mark.parametrize("credential", [TICKET, Bearer("8A:abc")], ids=lambda each: type(each).__name__)
async def test_ticket_without_application_token_is_forbidden_without_a_request(
    remote: RemoteServer, strict: SuperOffice, credential: Credential, app_token: str | None
) -> None:
    with pytest.raises(Forbidden) as caught:
        await strict.verify(credential, app_token)
    assert str(caught.value) == "The SO-AppToken is missing or wrong."
    assert not remote.requests


async def test_each_of_the_application_tokens_is_accepted(remote: RemoteServer) -> None:
    remote.answers = [as_json(principal())]
    verifier = SuperOffice(remote.url, session_cookie="SoSession", app_tokens=["app-1", "app-2"])
    for token in ("app-1", "app-2"):
        assert (await verifier.verify(TICKET, token)).roles == WRITER
    assert [request.headers["SO-AppToken"] for request in remote.requests] == ["app-1", "app-2"]
    await verifier.close()


@pytest.mark.parametrize("credential", [ALL[0], ALL[3]], ids=lambda each: type(each).__name__)
async def test_user_and_session_need_no_application_token(strict: SuperOffice, credential: Credential) -> None:
    assert (await strict.verify(credential, None)).roles == WRITER
