"""A writer that fails: told apart from a picture that cannot be decoded."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from PIL import Image

from service.errors import OutOfMemory, Unrenderable, Unwritable
from service.formats import Format, IfBlank
from service.imaging import render as render_module
from service.imaging import source
from service.imaging.admission import admit
from service.imaging.drawing import placeholders
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Blank, Encoding, Limits, Order, Reduction
from service.imaging.render import rendition
from service.imaging.writing.encode import encode_still
from tests.pictures_in_code import animation, quarters, rendered, saved

UNFIT: list[tuple[str, dict[str, Any]]] = [
    ("AVIF", {"avif_quality": 999}),
    ("WEBP", {"webp_method": 99}),
    ("JPEG", {"jpeg_quality": "none"}),
    ("PNG", {"png_level": 99}),
]
STILL, FILM = saved(quarters(), "PNG"), animation()


@pytest.mark.parametrize(("kind", "encoding"), UNFIT)
def test_every_way_to_a_file_says_so(kind: str, encoding: dict[str, Any]) -> None:
    unfit = Encoding(**encoding)
    mezzanine = Mezzanine.decoded(saved(quarters(), "JPEG"), Reduction((160, 120), (80, 60)))
    ways = (
        lambda: rendered(STILL, kind, 20, encoding=unfit),
        lambda: rendered(FILM, kind, 20, encoding=unfit),
        lambda: rendition(mezzanine, Order(Format[kind], 20, encoding=unfit)),
        lambda: placeholders.draw(Blank(IfBlank.DEFAULT, 20, 20, Format[kind], encoding=unfit)),
    )
    for way in ways:
        with pytest.raises(Unwritable) as failed:
            way()
        assert kind in str(failed.value)
        again = pickle.loads(pickle.dumps(failed.value))
        assert (type(again), again.args) == (Unwritable, failed.value.args)


@pytest.mark.parametrize("data", [STILL, FILM])
@pytest.mark.parametrize("error", [MemoryError(), OverflowError("65536"), RuntimeError("\x00" * 9_999)])
def test_memory_that_a_writer_takes_is_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, data: bytes, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(render_module, "encode_still", fail)
    monkeypatch.setattr(render_module, "encode_animation", fail)
    with pytest.raises(Unwritable) as failed:
        rendered(data, "WEBP", 20)
    assert len(str(failed.value.values["cause"])) <= 200


def test_memory_that_decoding_takes_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(source, "resample_in_strips", fail)
    with pytest.raises(OutOfMemory):
        rendered(STILL, "WEBP", 20)


def test_what_cannot_be_decoded_is_the_picture_s_fault_whatever_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unrenderable):
        rendered(STILL[:-60], "WEBP", 20, encoding=Encoding(webp_method=99))


@pytest.mark.parametrize("failing", [Format.PNG, Format.TIFF])  # to try it out, and to store it without metadata
def test_an_upload_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch, failing: Format) -> None:
    def write(image: Image.Image, kind: Format, encoding: Encoding, *, palette: bool = False) -> bytes:
        if kind is failing:
            raise MemoryError
        return encode_still(image, kind, encoding, palette=palette)

    monkeypatch.setattr(render_module, "encode_still", write)
    with pytest.raises(Unrenderable, match=failing.name):
        admit(saved(quarters(), "TIFF"), Limits(), Encoding())
