"""Tables that stand in two places and must agree: formats and writers, orders and settings."""

from __future__ import annotations

import os
from dataclasses import asdict

import pytest

from service.formats import WRITABLE, Format
from service.imaging.order import Encoding, Limits
from service.imaging.writing.writers import WRITERS
from service.settings import load_settings


def test_every_writable_format_has_a_writer() -> None:
    assert set(WRITERS) == set(WRITABLE)


@pytest.mark.parametrize("kind", WRITABLE)
def test_writer_of_animated_format_has_animation_and_timing(kind: Format) -> None:
    writer = WRITERS[kind]
    assert (writer.animation is not None) == (writer.timing is not None) == kind.animated


def test_orders_have_the_defaults_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("CONTACT_IMAGE_")]:
        monkeypatch.delenv(name)
    settings = load_settings()
    assert asdict(Encoding()) == settings.encoding.model_dump()
    assert asdict(Limits()) == {name: getattr(settings.render, name) for name in asdict(Limits())}
