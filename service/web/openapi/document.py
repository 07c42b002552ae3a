"""The document as a whole: paths, operations and what secures them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from service.access.schemes import Scheme
from service.formats import Format
from service.web.files import media_type
from service.web.openapi import parameters, responses
from service.web.openapi.responses import AGENT, INFO, JSON, PURGING, READING, REMOVING, WRITING
from service.web.openapi.security import SCHEMES, alternatives
from service.web.pages import ASSETS, PATHS

_DESCRIPTION = """
A contact's picture, as SuperOffice CRM serves it: scaled, converted, negotiated and cached.

**Accept** chooses the format of a picture among the media types of its 200 response. `type` wins over it.
`application/json` gives the picture in base64, as .NET writes bytes.

**PURGE** of a picture's path removes the contact from every cache: 204. OpenAPI 3.1 has no word for that method
(`x-methods`).

Names in paths and queries match in any letter case. Unknown parameters are ignored.
"""
IMAGE, IMAGEINFO = "/api/v1/Contact/{contactId}/Image", "/api/v1/Contact/{contactId}/Imageinfo"
IMAGEINFOS = "/api/v1/Contact/Imageinfo"


def document(
    *,
    version: str,
    max_dimension: int,
    presets: Sequence[str],
    schemes: Sequence[Scheme],
    anonymous: bool,
    page: bool,
    metrics: bool,
) -> bytes:
    """Return the description of the interface as JSON, as these settings have it.

    *anonymous*: reading needs no credentials. *page*: there are pages at `/` and `/docs`. *metrics*: they are here,
    and not at an address of their own.
    """
    query = parameters.query(max_dimension, list(presets))
    paths = _paths(list(query), alternatives(schemes, anonymous=anonymous), page=page, metrics=metrics)
    described = {
        "openapi": "3.1.1",
        "info": {"title": "contact-image", "version": version, "description": _DESCRIPTION.strip()},
        "servers": [{"url": "/"}],
        "security": alternatives(schemes),
        "tags": [{"name": "pictures"}, {"name": "operations"}, {"name": "pages"}],
        "paths": paths,
        "components": {
            "parameters": {
                **query,
                **parameters.FIELDS,
                "contactId": parameters.CONTACT,
                "ids": parameters.IDS,
            },
            "headers": responses.HEADERS,
            "responses": _referenced(responses.PROBLEMS, json.dumps(paths)),
            "schemas": responses.SCHEMAS,
            "securitySchemes": {scheme.value: SCHEMES[scheme] for scheme in schemes},
        },
    }
    return json.dumps(described, ensure_ascii=False).encode()


def _paths(query: list[str], read: list[dict[str, list[str]]], *, page: bool, metrics: bool) -> dict[str, Any]:
    paths = {
        IMAGE: _image(query, read),
        IMAGEINFO: _info(read),
        IMAGEINFOS: _infos(read),
        **{
            f"/api/v1/Agents/BLOB/{name}": _agent(name, read) for name in ("GetContactImage", "GetContactImageWithSize")
        },
        "/healthz": _plain("healthz", "Whether the process answers.", {"200": _alive()}, []),
        "/readyz": _plain("readyz", "Whether pictures can be served.", {"200": _ready(), "503": _ready()}, []),
        "/metrics": _plain("metrics", "Metrics for Prometheus.", {"200": _text("text/plain")}, read),
        "/client.js": _file("client.js", "text/javascript"),
        "/client.d.ts": _file("client.d.ts", "text/plain"),
        "/openapi.json": _file("openapi.json", JSON),
    }
    if not metrics:
        del paths["/metrics"]
    if page:
        shown = {path: _file(name, "text/html") for path, name in PATHS.items()}
        paths |= shown | {path: _file(name, media_type(name)) for path, name in ASSETS.items()}
    return paths


def _image(query: list[str], read: list[dict[str, list[str]]]) -> dict[str, Any]:
    languages = ("Accept-Language", "SO-Language", "SO-Culture")
    reading = [*query, "If-None-Match", "If-Modified-Since", *languages]
    unchanged = responses.picture("The client's copy is still valid.", body=False)
    found = responses.picture("The picture.", more=("Content-Disposition", "Content-Language", "Accept-Ranges"))
    part = responses.picture(
        "The range of the picture as stored.", more=("Content-Range", "Content-Disposition", "Accept-Ranges")
    )
    refused = responses.refusals(READING)
    upload = {
        "required": True,
        "description": "A picture, or a form with one file of any name. The format is found by the bytes.",
        "content": {
            **{each.media_type: {} for each in Format},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
    stored = responses.json("The `BlobId` of the stored picture.", {"type": "integer", "format": "int32"}, 1234567890)
    stored["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    conditions = ["If-Match", "If-None-Match", "If-Unmodified-Since", *languages]
    return {
        "parameters": _references(["contactId"]),
        "get": {
            "operationId": "getPicture",
            "tags": ["pictures"],
            "summary": "The picture.",
            "parameters": _references([*reading, "Range", "If-Range"]),
            "responses": {"200": found, "206": part, "304": unchanged, **refused},
            "security": read,
        },
        "head": {
            "operationId": "headPicture",
            "tags": ["pictures"],
            "summary": "The header of the picture.",
            "parameters": _references(reading),
            "responses": responses.no_body({"200": found, "304": unchanged, **refused}),
            "security": read,
        },
        **{
            method: {
                "operationId": f"{method}Picture",
                "tags": ["pictures"],
                "summary": "Store the picture.",
                "parameters": _references(conditions),
                "requestBody": upload,
                "responses": {"200": stored, **responses.refusals(WRITING)},
            }
            for method in ("put", "post")
        },
        "delete": {
            "operationId": "deletePicture",
            "tags": ["pictures"],
            "summary": "Remove the picture.",
            "parameters": _references(conditions),
            "responses": {"204": {"description": "There is no picture now."}, **responses.refusals(REMOVING)},
        },
        "options": _options("optionsPicture", ["pictures"]),
        "x-methods": {
            "PURGE": {
                "summary": "Remove the contact from every cache.",
                "responses": {"204": {"description": "Redis has acknowledged it."}, **responses.refusals(PURGING)},
            }
        },
    }


def _info(read: list[dict[str, list[str]]]) -> dict[str, Any]:
    entity = responses.json(
        "The description.", {"$ref": "#/components/schemas/BlobEntity"}, dict(responses.EXAMPLE_ENTITY)
    )
    answers = {"200": entity, **responses.refusals(INFO)}
    shared = {
        "tags": ["pictures"],
        "summary": "What is stored for the contact.",
        "security": read,
        "parameters": _references(["SO-TimeZone", "Accept-Language", "SO-Language", "SO-Culture"]),
    }
    return {
        "parameters": _references(["contactId"]),
        "get": {"operationId": "getImageinfo", **shared, "responses": answers},
        "head": {"operationId": "headImageinfo", **shared, "responses": responses.no_body(answers)},
        "options": _options("optionsImageinfo", ["pictures"]),
    }


def _infos(read: list[dict[str, list[str]]]) -> dict[str, Any]:
    entities = responses.json(
        "The descriptions by id.",
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/BlobEntity"}},
        {"42": dict(responses.EXAMPLE_ENTITY)},
    )
    answers = {"200": entities, **responses.refusals(INFO)}
    shared = {
        "tags": ["pictures"],
        "summary": "What is stored for many contacts.",
        "security": read,
        "parameters": _references(["ids", "SO-TimeZone", "Accept-Language", "SO-Language", "SO-Culture"]),
    }
    return {
        "get": {"operationId": "getImageinfos", **shared, "responses": answers},
        "head": {"operationId": "headImageinfos", **shared, "responses": responses.no_body(answers)},
        "options": _options("optionsImageinfos", ["pictures"]),
    }


def _agent(name: str, read: list[dict[str, list[str]]]) -> dict[str, Any]:
    sized = name.endswith("WithSize")
    integers = ("ContactId", "Width", "Height") if sized else ("ContactId",)
    schema = {
        "type": "object",
        "description": "Names match in any letter case.",
        "properties": {each: {"type": "integer", "format": "int32"} for each in integers},
        "required": ["ContactId"],
    }
    example = {"ContactId": 42, "Width": 319, "Height": 467} if sized else {"ContactId": 42}
    found = responses.json(
        "The picture in base64, or nothing if there is none.",
        {"type": "string", "contentEncoding": "base64"},
        "/9j/4AAQ",
    )
    found["content"]["application/octet-stream"] = {}
    return {
        "post": {
            "operationId": name,
            "tags": ["pictures"],
            "summary": f"SuperOffice's BLOB agent: the picture{', as large as fits' if sized else ''}.",
            "requestBody": {"required": True, "content": {JSON: {"schema": schema, "example": example}}},
            "responses": {"200": found, **responses.refusals(AGENT)},
            "security": read,
        },
        "options": _options(f"options{name}", ["pictures"]),
    }


def _plain(name: str, summary: str, answers: dict[str, Any], read: list[dict[str, list[str]]]) -> dict[str, Any]:
    shared = {"tags": ["operations"], "summary": summary, "security": read}
    return {
        "get": {"operationId": f"get_{name}", **shared, "responses": answers},
        "head": {"operationId": f"head_{name}", **shared, "responses": responses.no_body(answers)},
    }


def _file(name: str, media_type: str) -> dict[str, Any]:
    answers = {"200": _text(media_type), "304": {"description": "The client's copy is still valid."}}
    shared = {"tags": ["pages"], "summary": name, "security": [], "parameters": _references(["If-None-Match"])}
    return {
        "get": {"operationId": f"get_{name}", **shared, "responses": answers},
        "head": {"operationId": f"head_{name}", **shared, "responses": responses.no_body(answers)},
        "options": _options(f"options_{name}", ["pages"]),
    }


def _options(operation: str, tags: list[str]) -> dict[str, Any]:
    allowed = {"description": "The methods.", "headers": {"Allow": {"$ref": "#/components/headers/Allow"}}}
    return {
        "operationId": operation,
        "tags": tags,
        "summary": "The methods.",
        "security": [],
        "responses": {"204": allowed},
    }


def _alive() -> dict[str, Any]:
    return responses.json(
        "It does.", {"type": "object", "properties": {"status": {"const": "alive"}}}, {"status": "alive"}
    )


def _ready() -> dict[str, Any]:
    return responses.json("The state.", {"$ref": "#/components/schemas/Readiness"}, {"status": "ready"})


def _text(media_type: str) -> dict[str, Any]:
    return {"description": "The file.", "content": {media_type: {}}}


def _referenced(answers: Mapping[str, Any], paths: str) -> dict[str, Any]:
    """Return those of the common *answers* to which an operation refers: some errors have none, and some no HEAD."""
    return {name: answer for name, answer in answers.items() if f'"#/components/responses/{name}"' in paths}


def _references(names: list[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]
