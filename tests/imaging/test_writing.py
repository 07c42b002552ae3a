"""A writer that fails raises `Unwritable`; a picture that cannot be decoded raises `Unrenderable`."""

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
from service.imaging.order import Encoding, Limits, Order, Placeholder, Reduction
from service.imaging.render import rendition
from service.imaging.writing.encode import encode_still
from tests.pixels import rendered
from tools.pictures.drawing import animation, quarters, saved

BAD_ENCODINGS: list[tuple[str, dict[str, Any]]] = [
    ("AVIF", {"avif_quality": 999}),
    ("WEBP", {"webp_method": 99}),
    ("JPEG", {"jpeg_quality": "none"}),
    ("PNG", {"png_level": 99}),
]
STILL, ANIMATION = saved(quarters(), "PNG"), animation()


@pytest.mark.parametrize(("kind", "encoding"), BAD_ENCODINGS)
def test_failed_writer_is_named_in_every_kind_of_rendition(kind: str, encoding: dict[str, Any]) -> None:
    bad = Encoding(**encoding)
    mezzanine = Mezzanine.decoded(saved(quarters(), "JPEG"), Reduction((160, 120), (80, 60)))
    renders = (
        lambda: rendered(STILL, kind, 20, encoding=bad),
        lambda: rendered(ANIMATION, kind, 20, encoding=bad),
        lambda: rendition(mezzanine, Order(Format[kind], 20, encoding=bad)),
        lambda: placeholders.draw(Placeholder(IfBlank.DEFAULT, 20, 20, Format[kind], encoding=bad)),
    )
    for fail in renders:
        with pytest.raises(Unwritable) as failed:
            fail()
        assert kind in str(failed.value)
        copy = pickle.loads(pickle.dumps(failed.value))
        assert (type(copy), copy.args) == (Unwritable, failed.value.args)


@pytest.mark.parametrize("data", [STILL, ANIMATION])
@pytest.mark.parametrize("error", [MemoryError(), OverflowError("65536"), RuntimeError("\x00" * 9_999)])
def test_error_of_a_writer_is_unwritable(monkeypatch: pytest.MonkeyPatch, data: bytes, error: Exception) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise error

    monkeypatch.setattr(render_module, "encode_still", fail)
    monkeypatch.setattr(render_module, "encode_animation", fail)
    with pytest.raises(Unwritable) as failed:
        rendered(data, "WEBP", 20)
    assert len(str(failed.value.values["cause"])) <= 200


def test_lack_of_memory_for_decoding_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(source, "resample_in_strips", fail)
    with pytest.raises(OutOfMemory):
        rendered(STILL, "WEBP", 20)


def test_corrupt_picture_is_unrenderable_for_every_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unrenderable):
        rendered(STILL[:-60], "WEBP", 20, encoding=Encoding(webp_method=99))


@pytest.mark.parametrize("failing", [Format.PNG, Format.TIFF])  # the trial rendition, and the copy without metadata
def test_upload_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch, failing: Format) -> None:
    def write(image: Image.Image, kind: Format, encoding: Encoding, *, palette: bool = False) -> bytes:
        if kind is failing:
            raise MemoryError
        return encode_still(image, kind, encoding, palette=palette)

    monkeypatch.setattr(render_module, "encode_still", write)
    with pytest.raises(Unrenderable, match=failing.name):
        admit(saved(quarters(), "TIFF"), Limits(), Encoding())
