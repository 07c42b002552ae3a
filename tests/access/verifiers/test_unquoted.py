"""No secret is in a log event of any level, or in an error, its causes and its traceback."""

from __future__ import annotations

import asyncio
import logging
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tenacity import wait_none

from service.access.ports import Verifier
from service.access.schemes import Basic, Bearer, Credential, Session, SoTicket
from service.access.verifiers.bearer import BearerTokens
from service.access.verifiers.jwt import JsonWebTokens, TokenRules
from service.access.verifiers.keys import KeyFile
from service.access.verifiers.superoffice import SuperOffice
from service.errors import PictureError
from tests.access.verifiers.conftest import RemoteServer, as_cut, as_json, as_text, principal
from tests.access.verifiers.tokens import AUDIENCE, ISSUER, pair, token

GENUINE, FORGED, EXPIRED = token(), token("rsa-2"), token(exp=1)
CREDENTIALS: list[Credential] = [
    Basic("hushuser", "hushpassword"),
    Bearer("8A:hushbearer"),
    SoTicket("7T:hushticket"),
    Session("hushcookie", "hushxsrf"),
    Session("hushcookie\r\nX: 1", "hushxsrf"),
    SoTicket("7T:hush ticket\r\n"),
    *(Bearer(text) for text in (GENUINE, FORGED, EXPIRED, "e30.hushpart.e30")),
]
SECRETS = [
    "hush",
    b64encode(b"hushuser:hushpassword").decode(),
    *(part for text in (GENUINE, FORGED, EXPIRED) for part in text.split(".")[1:]),
]


@pytest.fixture
def everything_logged() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG), cache_logger_on_first_use=False
    )
    yield
    structlog.configure(**before)


def _everything_about(error: BaseException) -> str:
    """Return all text that a logger could show of *error*, its cause and its context."""
    text = [repr(error), str(error), *traceback.format_exception(error)]
    for earlier in (error.__cause__, error.__context__):
        if earlier is not None:
            text.append(_everything_about(earlier))
    return "\n".join(text)


@pytest.mark.usefixtures("everything_logged")
async def test_no_secret_is_quoted_after_any_answer(
    remote: RemoteServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.access.verifiers.superoffice._RETRY_WAIT", wait_none())
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    (tmp_path / "keys.pem").write_bytes(pair("rsa").pem)
    tokens = JsonWebTokens(KeyFile(tmp_path / "keys.pem"), TokenRules(ISSUER, AUDIENCE))
    texts, url = [], remote.url
    for answer in (
        as_json(principal()),
        as_json({}, 401),
        as_json({}, 404),
        as_json({}, 500),
        as_cut,
        as_text("{", "application/json"),
        as_text("", "text/html", 302, Location="/login"),
        None,
    ):
        if answer is None:
            await remote.stop()
        else:
            remote.answers = [answer]
        superoffice = SuperOffice(url, session_cookie="SoSession", app_tokens=["hushapp"])
        bearer = BearerTokens(tokens, superoffice)
        for credential in CREDENTIALS:
            verifier: Verifier = bearer if isinstance(credential, Bearer) else superoffice
            for app_token in ("hushapp", "wronghush"):
                try:
                    texts.append(repr(await verifier.verify(credential, app_token)))
                except PictureError as error:
                    texts.append(_everything_about(error))
        texts += [repr(superoffice), repr(bearer), repr(tokens)]
        await bearer.close()
        await superoffice.close()
    output = capsys.readouterr()
    shown = "\n".join([*texts, caplog.text, output.out, output.err])
    assert "superoffice.unavailable" in shown and "superoffice.unexpected" in shown
    assert len(texts) > 100 and len(remote.requests) > 40
    for secret in SECRETS:
        quoted = [line for line in shown.splitlines() if secret in line]
        assert not quoted, quoted[:3]
