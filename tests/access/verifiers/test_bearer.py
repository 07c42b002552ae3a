"""A bearer token is passed to one of two verifiers, by its form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.access.identity import READER, Role
from service.access.schemes import Basic, Bearer, SoTicket
from service.access.verifiers.bearer import BearerTokens
from service.access.verifiers.jwt import JsonWebTokens, TokenRules
from service.access.verifiers.keys import KeyFile
from service.access.verifiers.superoffice import SuperOffice
from service.errors import Forbidden, NotAuthenticated
from tests.access.verifiers.conftest import RemoteServer, as_json, principal
from tests.access.verifiers.tokens import AUDIENCE, ISSUER, pair, token

OPAQUE = Bearer("8A:Cust12345.AbCd.EfGh")


@pytest.fixture
def tokens(tmp_path: Path) -> JsonWebTokens:
    (tmp_path / "keys.pem").write_bytes(pair("rsa").pem)
    return JsonWebTokens(KeyFile(tmp_path / "keys.pem"), TokenRules(ISSUER, AUDIENCE))


@pytest.fixture
async def superoffice(remote: RemoteServer) -> AsyncIterator[SuperOffice]:
    remote.answers = [as_json(principal())]
    verifier = SuperOffice(remote.url, session_cookie="SoSession", app_tokens=["app-1"])
    yield verifier
    await verifier.close()


async def test_token_is_passed_to_the_verifier_of_its_form(
    remote: RemoteServer, tokens: JsonWebTokens, superoffice: SuperOffice
) -> None:
    bearer = BearerTokens(tokens, superoffice)
    assert (await bearer.verify(Bearer(token()), None)).roles == READER  # needs no application token
    assert not remote.requests
    assert (await bearer.verify(OPAQUE, "app-1")).roles == {Role.READ, Role.WRITE}
    assert len(remote.requests) == 1
    with pytest.raises(Forbidden):
        await bearer.verify(OPAQUE, None)


async def test_refused_json_web_token_is_not_sent_to_superoffice(
    remote: RemoteServer, tokens: JsonWebTokens, superoffice: SuperOffice
) -> None:
    bearer = BearerTokens(tokens, superoffice)
    for wrong in (token("rsa-2"), token(iss="https://evil.example"), token(exp=1), "e30.e30.e30"):
        with pytest.raises(NotAuthenticated):
            await bearer.verify(Bearer(wrong), "app-1")
    assert not remote.requests


async def test_superoffice_verifies_all_tokens_without_a_provider(
    remote: RemoteServer, superoffice: SuperOffice
) -> None:
    bearer = BearerTokens(None, superoffice)
    for each in (Bearer(token()), OPAQUE):
        assert Role.WRITE in (await bearer.verify(each, "app-1")).roles
    assert len(remote.requests) == 2


async def test_token_without_a_verifier_is_refused(tokens: JsonWebTokens) -> None:
    for bearer, credential in (
        (BearerTokens(tokens, None), OPAQUE),
        (BearerTokens(None, None), OPAQUE),
        (BearerTokens(None, None), Bearer(token())),
        (BearerTokens(tokens, None), Basic("tje0", "Tje0")),
        (BearerTokens(tokens, None), SoTicket(token())),
    ):
        with pytest.raises(NotAuthenticated, match="The credentials are wrong"):
            await bearer.verify(credential, None)
        await bearer.close()
