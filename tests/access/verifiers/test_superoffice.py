"""SuperOffice is asked who somebody is: what reaches it, and how its answers are read."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.access.identity import EVERYTHING, READER, Role
from service.access.schemes import Basic, Bearer, Credential, Session, SoTicket
from service.access.verifiers.superoffice import SuperOffice
from service.errors import Forbidden, NotAuthenticated, VerificationUnavailable
from tests.access.verifiers.conftest import Elsewhere, as_json, as_text, principal

WRITER = frozenset((Role.READ, Role.WRITE))
TICKET = SoTicket("7T:TQBhAHIAawA=")
ALL = [Basic("tje0", ""), Bearer("8A:Cust12345.abc"), TICKET, Session("s1", "x1")]


@pytest.fixture
async def superoffice(elsewhere: Elsewhere) -> AsyncIterator[SuperOffice]:
    elsewhere.answers = [as_json(principal())]
    asker = SuperOffice(f"{elsewhere.url}/Cust12345/", session_cookie="SoSession")
    yield asker
    await asker.close()


async def refused(asker: SuperOffice, credential: Credential = TICKET, app_token: str | None = None) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await asker.verify(credential, app_token)
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
async def test_the_callers_own_credential_is_asked_about(
    elsewhere: Elsewhere, superoffice: SuperOffice, credential: Credential, authorization: str
) -> None:
    assert (await superoffice.verify(credential, None)).roles == WRITER
    [asked] = elsewhere.asked
    assert (asked.method, asked.path) == ("GET", "/Cust12345/api/v1/User/currentPrincipal")
    assert asked.headers["Authorization"] == authorization
    assert asked.headers["Accept"] == "application/json"
    assert "Cookie" not in asked.headers and "SO-AppToken" not in asked.headers


async def test_a_session_goes_as_its_two_cookies_and_the_header(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    assert (await superoffice.verify(Session("abc-DEF_1%2B=", "t0ken/+="), None)).roles == WRITER
    [asked] = elsewhere.asked
    assert asked.headers["Cookie"] == "SoSession=abc-DEF_1%2B=; XSRF-TOKEN=t0ken/+="
    assert asked.headers["X-XSRF-TOKEN"] == "t0ken/+="
    assert "Authorization" not in asked.headers


async def test_the_application_token_goes_along(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    for credential in ALL:
        await superoffice.verify(credential, "app 1")
    assert [asked.headers["SO-AppToken"] for asked in elsewhere.asked] == ["app 1"] * 4


async def test_a_cookie_that_an_answer_sets_is_not_sent_with_the_next_question(
    elsewhere: Elsewhere, superoffice: SuperOffice
) -> None:
    elsewhere.answers = [as_text("{}", "application/json", **{"Set-Cookie": "SoSession=somebody; Path=/"})]
    await refused(superoffice)
    await refused(superoffice)
    assert len(elsewhere.asked) == 2
    assert all("Cookie" not in asked.headers for asked in elsewhere.asked)


@pytest.mark.parametrize(
    "value",
    ["a; SoSession=b", "a;b", "a\r\nX-Evil: 1", "a\nb", "a\x00b", "a b", 'a"b', "a\\b", "a,b", "ä", "", "\udcff"],
)
async def test_what_could_break_out_of_a_cookie_goes_nowhere(
    elsewhere: Elsewhere, superoffice: SuperOffice, value: str
) -> None:
    await refused(superoffice, Session(value, "x1"))
    await refused(superoffice, Session("s1", value))
    assert not elsewhere.asked


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a b", "a\x00", "ä", "", "\udcff"])
async def test_what_could_break_out_of_a_header_goes_nowhere(
    elsewhere: Elsewhere, superoffice: SuperOffice, value: str
) -> None:
    await refused(superoffice, Bearer(value))
    await refused(superoffice, SoTicket(value))
    if value and value != "a b":
        with pytest.raises(Forbidden, match="SO-AppToken is missing or wrong"):
            await superoffice.verify(TICKET, value)
    assert not elsewhere.asked


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
async def test_roles_follow_the_type_of_user_and_the_administrators_right(
    elsewhere: Elsewhere, superoffice: SuperOffice, changes: dict[str, Any], roles: frozenset[Role]
) -> None:
    elsewhere.answers = [as_json(principal(**changes))]
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
async def test_an_answer_that_names_nobody_is_no_identity(
    elsewhere: Elsewhere, superoffice: SuperOffice, carrier: object
) -> None:
    elsewhere.answers = [as_json(carrier)]
    await refused(superoffice)
    assert len(elsewhere.asked) == 1


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
async def test_a_page_to_log_in_at_and_an_empty_answer_are_refusals(
    elsewhere: Elsewhere, superoffice: SuperOffice, text: str, media_type: str
) -> None:
    elsewhere.answers = [as_text(text, media_type)]
    await refused(superoffice)
    assert len(elsewhere.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("credential", ALL, ids=lambda each: type(each).__name__)
async def test_a_refusal_is_asked_for_once(
    elsewhere: Elsewhere, superoffice: SuperOffice, credential: Credential, status: int
) -> None:
    elsewhere.answers = [as_json(principal(), status=status)]
    await refused(superoffice, credential)
    assert len(elsewhere.asked) == 1


@pytest.mark.parametrize("status", [302, 303, 307])
async def test_a_credential_is_not_carried_to_where_a_redirect_points(
    elsewhere: Elsewhere, superoffice: SuperOffice, status: int
) -> None:
    elsewhere.answers = [as_text("", "text/html", status, Location=f"{elsewhere.url}/login"), as_json(principal())]
    await refused(superoffice)
    assert len(elsewhere.asked) == 1


@pytest.mark.parametrize("status", [201, 204, 301, 308, 400, 404, 406])
async def test_an_address_that_is_not_superoffices_refuses_nobody(
    elsewhere: Elsewhere, superoffice: SuperOffice, status: int
) -> None:
    elsewhere.answers = [as_text("", "text/html", status, Location=f"{elsewhere.url}/login"), as_json(principal())]
    with pytest.raises(VerificationUnavailable, match="cannot be verified at the moment"):
        await superoffice.verify(TICKET, None)
    assert len(elsewhere.asked) == 1


@pytest.fixture
async def strict(elsewhere: Elsewhere) -> AsyncIterator[SuperOffice]:
    """Where tickets and tokens need an application token beside them."""
    elsewhere.answers = [as_json(principal())]
    asker = SuperOffice(elsewhere.url, session_cookie="SoSession", app_tokens=["app-1", "app-ö"])
    yield asker
    await asker.close()


@pytest.mark.parametrize("app_token", [None, "", "app-2", "app-", "app-1 ", "APP-1", "app-1,app-2", "\udcff"])
@pytest.mark.parametrize("credential", [TICKET, Bearer("8A:abc")], ids=lambda each: type(each).__name__)
async def test_a_ticket_without_the_right_application_token_is_forbidden_before_anything_is_asked(
    elsewhere: Elsewhere, strict: SuperOffice, credential: Credential, app_token: str | None
) -> None:
    with pytest.raises(Forbidden) as caught:
        await strict.verify(credential, app_token)
    assert str(caught.value) == "The SO-AppToken is missing or wrong."
    assert not elsewhere.asked


async def test_any_of_the_application_tokens_will_do(elsewhere: Elsewhere) -> None:
    elsewhere.answers = [as_json(principal())]
    asker = SuperOffice(elsewhere.url, session_cookie="SoSession", app_tokens=["app-1", "app-2"])
    for token in ("app-1", "app-2"):
        assert (await asker.verify(TICKET, token)).roles == WRITER
    assert [asked.headers["SO-AppToken"] for asked in elsewhere.asked] == ["app-1", "app-2"]
    await asker.close()


@pytest.mark.parametrize("credential", [ALL[0], ALL[3]], ids=lambda each: type(each).__name__)
async def test_users_and_sessions_need_no_application_token(strict: SuperOffice, credential: Credential) -> None:
    assert (await strict.verify(credential, None)).roles == WRITER
