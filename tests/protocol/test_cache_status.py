"""The text of `Cache-Status` and `Server-Timing` (docs/contract.md, section 6)."""

from typing import Any

import pytest

from service.protocol.cache_status import CacheStatus, server_timing


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (CacheStatus(), "contact-image"),
        (CacheStatus(hit=True, ttl=42), "contact-image; hit; ttl=42"),
        (CacheStatus(hit=True, ttl=-12), "contact-image; hit; ttl=-12"),
        (CacheStatus(fwd="miss", collapsed=True), "contact-image; fwd=miss; collapsed"),
        (CacheStatus(fwd="uri-miss", stored=True), "contact-image; fwd=uri-miss; stored"),
        (CacheStatus(hit=True, ttl=0, detail="first-frame"), "contact-image; hit; ttl=0; detail=first-frame"),
        (CacheStatus(fwd="miss", detail="placeholder"), "contact-image; fwd=miss; detail=placeholder"),
        (CacheStatus(detail='no "photo" \\ é'), 'contact-image; detail="no \\"photo\\" \\\\ ?"'),
        (CacheStatus(hit=True, stored=True, collapsed=True), "contact-image; hit"),
        (CacheStatus(detail="1st"), 'contact-image; detail="1st"'),
        (CacheStatus(detail="a\r\nSet-Cookie: b"), 'contact-image; detail="a??Set-Cookie: b"'),
    ],
)
def test_cache_status_follows_rfc_9211(status: CacheStatus, text: str) -> None:
    assert str(status) == text


@pytest.mark.parametrize("wrong", [{"hit": True, "fwd": "miss"}, {"fwd": "because"}, {"fwd": ""}])
def test_status_that_rfc_9211_forbids_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="RFC 9211"):
        CacheStatus(**wrong)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ({}, ""),
        ({"cache": 0.0008}, "cache;dur=0.800"),
        (
            {"cache": 0.00000004, "store": 0.0025, "render": 12.3456},
            "cache;dur=0.000, store;dur=2.500, render;dur=12345.600",
        ),
    ],
)
def test_server_timing_has_milliseconds_without_exponents(seconds: dict[str, float], text: str) -> None:
    assert server_timing(seconds) == text
