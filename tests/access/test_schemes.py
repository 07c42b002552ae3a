"""The table of authentication schemes."""

from __future__ import annotations

from base64 import b64encode
from pkgutil import resolve_name

import pytest

from service.access.schemes import (
    CREDENTIAL_FIELDS,
    SCHEMES,
    Basic,
    Bearer,
    Credential,
    Scheme,
    SoTicket,
    parse_field,
)
from service.settings import AuthSettings


def encoded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def test_every_scheme_has_a_row() -> None:
    assert set(SCHEMES) == set(Scheme)


@pytest.mark.parametrize("scheme", Scheme)
def test_row_names_existing_settings(scheme: Scheme) -> None:
    needs = SCHEMES[scheme].needs
    assert needs and set(needs) <= set(AuthSettings.model_fields)


@pytest.mark.parametrize("scheme", [scheme for scheme, row in SCHEMES.items() if row.field])
def test_scheme_with_a_header_field_has_a_verifier_a_challenge_and_a_probe(scheme: Scheme) -> None:
    row = SCHEMES[scheme]
    assert "superoffice_url" in row.needs or row.verifier
    assert not row.verifier or callable(resolve_name(row.verifier))
    assert row.challenge.lower().startswith(f"{scheme} ")
    assert row.field in CREDENTIAL_FIELDS
    assert row.probe is not None and row.probe.scheme is scheme


@pytest.mark.parametrize(
    ("value", "credential"),
    [
        (f"Basic {encoded('ann:a:b')}", Basic("ann", "a:b")),
        (f"bAsIc   {encoded('ann:')}\t", Basic("ann", "")),
        ("Bearer 8A:x.y", Bearer("8A:x.y")),
        ("SOTicket 7T:x==", SoTicket("7T:x==")),
        (f"Basic {encoded('ann')}", None),
        (f"Basic {encoded(':x')}", None),
        (f"Basic {encoded(b'ann:' + bytes([255]))}", None),
        ("Basic ann:x", None),
        ("Bearer", None),
        ("Bearer a b", None),
        ("Bearer a, Bearer b", None),
        ("Session x", None),
        ("signed x", None),
        ("Negotiate x", None),
        ("", None),
    ],
)
def test_authorization_is_parsed(value: str, credential: Credential | None) -> None:
    assert parse_field("Authorization", [value]) == credential


def test_several_lines_are_not_a_credential() -> None:
    assert parse_field("Authorization", ["Bearer a", "Bearer a"]) is None
    assert parse_field("Authorization", []) is None


def test_repr_of_a_credential_shows_no_secret() -> None:
    for row in SCHEMES.values():
        assert "contact-image-check" not in repr(row.probe)
