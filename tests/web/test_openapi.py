"""The description of the interface says what the code does, name by name."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service import errors
from service.access.schemes import SCHEMES
from service.errors import PictureError
from service.formats import WRITABLE, Fit, IfBlank
from service.protocol.blob_entity import NO_PICTURE
from service.protocol.parameters import NAMES
from service.protocol.query import parse_query
from service.web.openapi import responses
from service.web.problems import TABLE
from service.web.request_values import METHODS
from tests.conftest import Serve
from tests.web.conftest import Client, Get, with_shared_client

pytestmark = pytest.mark.usefixtures("people")

IMAGE = "/api/v1/Contact/{contactId}/Image"


async def described(client: Client) -> dict[str, Any]:
    async with client.get("/openapi.json") as answer:
        assert answer.status == 200
        document: dict[str, Any] = await answer.json()
        return document


def methods_of(item: dict[str, Any]) -> set[str]:
    return {name.upper() for name in item if name not in ("parameters", "x-methods")} | set(item.get("x-methods", ()))


def resolved(document: dict[str, Any], value: Any) -> Any:
    if isinstance(value, dict) and "$ref" in value:
        _, kind, name = value["$ref"].removeprefix("#/").split("/")
        return resolved(document, document["components"][kind][name])
    return value


@with_shared_client
async def test_document_is_valid(shared_client: Client) -> None:
    document = await described(shared_client)
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["servers"] == [{"url": "/"}]


@with_shared_client
async def test_document_is_cached_by_its_entity_tag(shared_client: Client) -> None:
    async with shared_client.get("/openapi.json") as answer:
        etag = answer.headers["ETag"]
    async with shared_client.get("/openapi.json", headers={"If-None-Match": etag}) as answer:
        assert answer.status == 304


@with_shared_client
async def test_every_path_of_the_router_is_described(shared_client: Client) -> None:
    document = await described(shared_client)
    paths = set()
    for resource in shared_client.server.app.router.resources():  # type: ignore[attr-defined]
        path = re.sub(r"\{_end:/\?\}$", "", resource.canonical.replace("{_end}", ""))
        path = path.replace("{_contact}", "api/v1/Contact").replace("{contact}", "{contactId}")
        path = (
            path.replace("{_image}", "Image").replace("{_info}", "Imageinfo").replace("{_agent}", "api/v1/Agents/BLOB")
        )
        paths.add(re.sub(r"\{_(Get\w+)\}", r"\1", path))
    assert paths - {"/{_anything}"} == set(document["paths"])


@with_shared_client
async def test_every_method_of_a_path_is_described_and_answers(shared_client: Client) -> None:
    document = await described(shared_client)
    for path, item in document["paths"].items():
        url = path.replace("{contactId}", "1")
        methods = methods_of(item)
        for method in METHODS:
            async with shared_client.request(method, url) as answer:
                assert (answer.status == 405) == (method not in methods), (method, path)
    assert methods_of(document["paths"][IMAGE]) == set(METHODS)


@with_shared_client
async def test_parameters_are_those_of_the_code(shared_client: Client) -> None:
    document = await described(shared_client)
    get = document["paths"][IMAGE]["get"]
    parameters = {each["name"]: each for each in (resolved(document, each) for each in get["parameters"])}
    assert {name for name, each in parameters.items() if each["in"] == "query"} == set(NAMES)
    for name, each in parameters.items():
        if each["in"] == "query" and name != "preset":
            parse_query(f"{name}={str(each['example']).lower()}", 4096)  # the example is accepted
    enumerated = {name: each["schema"].get("enum", ()) for name, each in parameters.items()}
    for name in ("type", "ifBlank", "fit"):
        for text in enumerated[name]:
            parse_query(f"{name}={text}", 4096)
    assert {each.name for each in WRITABLE} <= set(enumerated["type"])
    assert {"Initials", *(str(each.value) for each in IfBlank if each is not IfBlank.INITIALS)} <= set(
        enumerated["ifBlank"]
    )
    assert {each.value for each in Fit} == set(enumerated["fit"])
    assert parameters["w"]["schema"]["maximum"] == 4096


@with_shared_client
async def test_every_component_belongs_to_an_operation(shared_client: Client) -> None:
    document = await described(shared_client)
    text = json.dumps(document)
    for kind in ("parameters", "headers", "responses", "schemas"):
        names = document["components"][kind]
        assert [name for name in names if f'"#/components/{kind}/{name}"' not in text] == []


def test_every_error_of_the_table_is_a_response() -> None:
    raised: set[type[PictureError]] = set()
    for name in ("READING", "WRITING", "REMOVING", "PURGING", "INFO", "AGENT"):
        raised |= set(getattr(responses, name))
    same_status = {errors.CredentialExpired, errors.Unsupported, errors.OutOfMemory, errors.UnknownPath}
    assert raised | same_status | {errors.MethodNotAllowed} == set(TABLE)
    assert {TABLE[each].status for each in same_status} <= {TABLE[each].status for each in raised}


@with_shared_client
async def test_answers_have_the_described_fields_and_bodies(shared_client: Client, get: Get) -> None:
    document = await described(shared_client)
    operation = document["paths"][IMAGE]["get"]["responses"]
    for contact, query, fields in (
        (1, "?w=80", {}),
        (1, "", {"Range": "bytes=0-9"}),
        (1, "", {"If_None_Match": "*"}),
        (1, "?w=80", {"Accept": "application/json"}),
        (404, "", {}),
        (404, "?ifBlank=Default", {}),
        (1, "?w=x", {}),
        (1, "", {"Accept": "text/html"}),
        (1, "", {"Range": "bytes=9999999-"}),
    ):
        answer = await get(shared_client, contact, query, **fields)
        response = resolved(document, operation[str(answer.status)])
        described_fields = set(response["headers"]) | {"Content-Type", "Content-Length"}
        sent = set(answer.headers) & set(document["components"]["headers"])
        assert sent <= described_fields, (query, sent - described_fields)
        if answer.status != 304:
            assert answer.content_type in response["content"]
        if answer.status >= 400:
            assert set(await answer.json()) == set(document["components"]["schemas"]["Problem"]["properties"])


@with_shared_client
async def test_entity_is_the_described_one(shared_client: Client) -> None:
    document = await described(shared_client)
    schema = document["components"]["schemas"]["BlobEntity"]
    async with shared_client.get("/api/v1/Contact/1/Imageinfo") as answer:
        assert set(await answer.json()) == set(schema["properties"]) == set(NO_PICTURE)


@pytest.mark.parametrize("schemes", [[], ["signed"], ["basic", "signed"]])
@pytest.mark.parametrize("anonymous", [True, False])
async def test_security_is_that_of_the_settings(
    serve: Serve, tmp_path: Any, schemes: list[str], anonymous: bool
) -> None:
    users = tmp_path / "users"
    users.write_text("")
    auth = {"schemes": schemes, "anonymous_read": anonymous}
    if schemes:
        auth |= {"signing_keys": ["k1:0123456789abcdef"], "users_file": str(users) if "basic" in schemes else ""}
    document = await described(await serve(auth=auth))
    assert set(document["components"]["securitySchemes"]) == set(schemes) <= set(SCHEMES)
    assert document["paths"][IMAGE]["put"].get("security", document["security"]) == [{name: []} for name in schemes]
    read = document["paths"][IMAGE]["get"]["security"]
    assert read == [*([{}] if anonymous and schemes else []), *({name: []} for name in schemes)]


async def test_presets_and_limits_are_those_of_the_settings(serve: Serve) -> None:
    document = await described(await serve(render={"presets": {"avatar": "w=96"}, "max_dimension": 500}))
    parameters = document["components"]["parameters"]
    assert parameters["preset"]["schema"]["enum"] == ["avatar"]
    assert parameters["h"]["schema"]["maximum"] == 500


async def test_metrics_are_described_where_they_are(serve: Serve) -> None:
    client = await serve(server={"admin": "127.0.0.1:9"})
    assert "/metrics" not in (await described(client))["paths"]
    assert (await client.get("/metrics")).status == 404
