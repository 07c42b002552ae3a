"""Refusals: status, members of the body, and words (docs/contract.md, section 6)."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from service import errors
from service.pictures.values import Original
from service.web.problems import TABLE
from tests.conftest import Serve
from tests.stores.memory_store import MemoryStore
from tests.web.conftest import Get

pytestmark = pytest.mark.usefixtures("people")

METHODS = "GET, HEAD, PUT, POST, DELETE, PURGE, OPTIONS"


def test_every_error_has_a_row() -> None:
    leaves = {
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.PictureError) and each is not errors.PictureError
    }
    assert leaves == set(TABLE)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("?w=abc", ["w", "4096"]),
        ("?w=4097", ["w", "4096"]),
        ("?h=99999999999", ["h", "4096"]),
        ("?w=1.5", ["w"]),
        ("?w=%D9%A1", ["w"]),
        ("?w=+5", ["w"]),
        ("?type=aut", ["type", "WEBP"]),
        ("?type=svg", ["type", "AVIF"]),
        ("?ifBlank=Never", ["ifBlank", "SrNoPhoto"]),
        ("?ifBlank=6", ["ifBlank"]),
        ("?fit=crop&w=1&h=1", ["fit", "cover"]),
        ("?w=1&W=2", ["w"]),
        ("?w=%00", ["w"]),
        ("?w=%FF", ["w"]),
    ],
)
async def test_problem_names_the_invalid_parameter_and_valid_values(
    serve: Serve, get: Get, query: str, named: list[str]
) -> None:
    client = await serve()
    response = await get(client, 1, query)
    assert response.status == 400
    problem = json.loads(await response.text())
    assert all(word in problem["detail"] for word in named)


@pytest.mark.parametrize("contact", ["abc", "1.0", "2147483648", "-2147483649", "%D9%A4", "1%00", "%20", "1e3", "+1"])
async def test_invalid_contact_is_400(serve: Serve, get: Get, contact: str) -> None:
    client = await serve()
    assert (await get(client, contact)).status == 400


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1/Contact/1", "/api/v1/Contact/1/", "/api/v1/Contact/1/Image//", "/api/v1/Contact/1/Image%2F",
     "/api/v1/Contact/1/Imageinfo//", "/healthz//", "/api/v2/Contact/1/Image", "/api/v1/Contact//Image",
     "/api/v1/Contact/../../etc/passwd", "/api/v1/Contact/%2e%2e%2f1/Image/x"],
)  # fmt: skip
async def test_unknown_path_is_404(serve: Serve, path: str) -> None:
    client = await serve()
    response = await client.get(path)
    assert response.status == 404
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("method", ["PATCH", "TRACE"])
async def test_other_methods_are_405(serve: Serve, get: Get, method: str) -> None:
    client = await serve()
    response = await get(client, 1, method=method)
    assert response.status == 405
    assert response.headers["Allow"] == METHODS


async def test_options_lists_the_methods(serve: Serve, get: Get) -> None:
    client = await serve()
    response = await get(client, 1, method="OPTIONS")
    assert (response.status, response.headers["Allow"]) == (204, METHODS)


async def test_problem_has_the_members_of_superoffice_and_of_rfc_9457(serve: Serve, get: Get) -> None:
    client = await serve()
    response = await get(client, 404, "?secret=hunter2")
    assert response.content_type == "application/problem+json"
    problem = json.loads(await response.text())
    request_id = problem.pop("requestId")
    assert request_id
    assert problem == {
        "type": "about:blank",
        "title": "No picture",
        "status": 404,
        "detail": "Contact 404 has no picture.",
        "instance": "/api/v1/Contact/404/Image",
        "Error": True,
        "ErrorType": "SoNotFoundException",
        "ErrorMessage": "Contact 404 has no picture.",
        "Message": "Contact 404 has no picture.",
        "ErrorSource": "ContactImage",
    }


async def test_problem_is_in_the_requested_language(serve: Serve, get: Get) -> None:
    client = await serve()
    swedish = await get(client, 404, SO_Language="sv", Accept_Language="en")
    english = await get(client, 404, SO_Language="x", Accept_Language="sv")
    assert swedish.headers["Content-Language"] == "sv"
    assert "404" in json.loads(await swedish.text())["detail"]
    assert await swedish.text() != await english.text()
    assert english.headers["Content-Language"] == "en"
    assert swedish.headers["Vary"] == "Accept, Accept-Language, SO-Language, SO-Culture"


async def test_errors_are_not_cached(serve: Serve, get: Get) -> None:
    client = await serve()
    assert (await get(client, 1, "?w=x")).headers["Cache-Control"] == "no-store"
    assert (await get(client, 1, Accept="text/html")).headers["Cache-Control"] == "no-store"


async def test_missing_folder_is_502_and_not_404(serve: Serve, get: Get, tmp_path: Path) -> None:
    client = await serve(images={"directory": tmp_path / "unmounted"})
    response = await get(client, 1)
    assert response.status == 502
    assert str(tmp_path) not in await response.text()


async def test_unexpected_error_is_500_without_its_text(serve: Serve, get: Get) -> None:
    class Broken(MemoryStore):
        async def find(self, contact: int, *, known: bool = False) -> Original | None:
            raise RuntimeError("innards")

    client = await serve(adapters={"store": Broken()})
    response = await get(client, 1)
    assert response.status == 500
    assert "innards" not in await response.text()
    assert json.loads(await response.text())["ErrorType"] == "SoException"


async def test_every_answer_forbids_sniffing_and_scripts(serve: Serve, get: Get) -> None:
    client = await serve()
    for contact, query in ((1, ""), (1, "?w=20"), (404, ""), (404, "?ifBlank=0"), (1, "?w=x")):
        response = await get(client, contact, query)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'"
        assert "aiohttp" not in response.headers["Server"]


async def test_size_made_impossible_by_proportions_is_400(serve: Serve, get: Get, images: Path) -> None:
    from tools.pictures.drawing import quarters, saved

    (images / "8.png").write_bytes(saved(quarters(4, 4_000), "PNG"))
    client = await serve()
    response = await get(client, 8, "?w=4000")
    assert response.status == 400
    assert "4000000" in (await response.text()).replace(",", "")
