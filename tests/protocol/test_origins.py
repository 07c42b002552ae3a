"""Parsing of origins into one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.origins import parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://crm.example", "https://crm.example"),
        ("HTTPS://CRM.Example", "https://crm.example"),
        ("https://crm.example:443", "https://crm.example"),
        ("http://crm.example:80", "http://crm.example"),
        ("https://crm.example:80", "https://crm.example:80"),
        ("https://crm.example:08443", "https://crm.example:8443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_origin_has_one_spelling(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "null", "*", "crm.example", "https://", "https://crm.example/", "https://crm.example/path", "//crm.example",
     "https://user@crm.example", "https://crm.example?", "https://crm.example#", "https://a.example https://b.example",
     "https://a.example, https://b.example", "https://crm.example:0", "https://crm.example:65536", "https://crm.example:",
     "https://crm.example\n", "https://crm.example\0", "https://crm.exämple", "https://İ.example", "file:///etc/passwd",
     "https://*.example", "https://" + "a" * 10_000],
)  # fmt: skip
def test_malformed_origin_is_none(text: str) -> None:
    assert parse_origin(text) is None


@given(st.text(max_size=80) | st.from_regex(r"[a-z]{1,9}://[a-zA-Z0-9.\[\]:@/-]{0,40}"))
def test_parsed_origin_parses_to_itself(text: str) -> None:
    origin = parse_origin(text)
    assert origin is None or (parse_origin(origin) == origin and origin.isascii() and origin.isprintable())
