"""What a render process may send that a picture has taken over. Nothing of it runs in the service."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.formats import Format, IfBlank
from service.imaging.errors import unwritable
from service.imaging.order import Placeholder, Reduction, Rendered
from service.pictures.trace import Trace
from service.rendering import calls, replies
from service.rendering.process import result_of
from service.system.open_file import FileUnread
from tests.conftest import Serve, examples
from tests.forked import Forked
from tests.rendering.forging import Forging
from tests.rendering.test_pool import ORDER, PICTURE, Pools, metrics, pools, read
from tests.waiting import until
from tools.pictures.drawing import quarters, saved

__all__ = ["metrics", "pools"]

PLACEHOLDER = Placeholder(IfBlank.DEFAULT, 40, 30, Format.PNG)
FACTS = {"width": 16, "height": 12, "frames": 1, "first_frame": False, "mezzanine_possible": False}


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render processes know the module of `Forging`, which they cannot read in the sandbox."""
    monkeypatch.setattr("service.rendering.process.launch", Forked)


class Command:
    """A pickle that makes a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.file),)


def framed(facts: object, data: bytes = b"") -> bytes:
    text = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    return replies.HEAD.pack(len(text), len(data)) + text + data


TWICE = framed(FACTS, PICTURE) * 2
UNSUPPORTED = "%(kind)s pictures are not supported."
FORGED = {
    "too long": replies.HEAD.pack(2**32 - 1, 0),
    "too long a picture": replies.HEAD.pack(2, 2**32 - 1) + b"{}",
    "no JSON": framed(b"{"),
    "deep JSON": framed(b"[" * 16_000),
    "a long number": framed(b"9" * 16_000),
    "another type": framed(5),
    "no facts": framed({}, PICTURE),
    "no picture": framed(FACTS),
    "a fact too many": framed(FACTS | {"more": 1}, PICTURE),
    "a text as width": framed(FACTS | {"width": "16"}, PICTURE),
    "a side without end": framed(FACTS | {"width": 10**9}, PICTURE),
    "a hash of another form": framed(FACTS | {"thumb_hash": "<script>"}, PICTURE),
    "a hash that is no text": framed(FACTS | {"thumb_hash": 5}, PICTURE),
    "a hash without end": framed(FACTS | {"thumb_hash": "A" * 1000}, PICTURE),
    "a duration below zero": framed(FACTS | {"decoding": -0.1}, PICTURE),
    "a duration that is no number": framed(FACTS | {"encoding": float("nan")}, PICTURE),
    "a duration without end": framed(FACTS | {"decoding": 1e300}, PICTURE),
    "a flag as number": framed(FACTS | {"frames": True}, PICTURE),
    "an unknown error": framed({"error": "SystemExit", "message": "", "values": {}}),
    "an error that is no text": framed({"error": ["Unrenderable"], "message": "", "values": {}}),
    "lines in the log": framed({"error": "one\ntwo"}),
    "a wide place": framed({"error": "Unrenderable", "message": "%(a)1000000000d", "values": {"a": 1}}),
    "a place without value": framed(
        {"error": "Unsupported", "message": "%(kind)s pictures are not supported.", "values": {}}
    ),
    "a text of its own": framed({"error": "Unrenderable", "message": "Call this number.", "values": {}}),
    "no values": framed({"error": "Unrenderable", "message": "", "values": None}),
    "values of other types": framed({"error": "Unrenderable", "message": "%(a)s", "values": {"a": [1]}}),
    "half a character": framed({"error": "Unrenderable", "message": "\ud800", "values": {}}),
}


async def test_pickle_in_place_of_a_reply_runs_nothing_in_the_service(
    pools: Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    command = pickle.dumps(Command(made))
    pool = await pools(timeout=60.0)
    for data in (len(command).to_bytes(4) + command.ljust(70_000, b"\0"), framed(command), framed({}, command)):
        with monkeypatch.context() as patch:
            forging = Forging("draw_placeholder", replies.picture, data, replies=True)
            patch.setattr("service.rendering.calls.DRAW_PLACEHOLDER", forging)
            try:
                await pool.draw(PLACEHOLDER, Trace())
            except errors.RenderWorkerDied:
                pass
        assert not made.exists()
    assert (await pool.render_original(read, ORDER, Trace())).width == 16


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_wrong_frame_is_no_reply(forged: bytes) -> None:
    with pytest.raises(replies.BadReply):
        if replies.missing(bytearray(forged)) == 0:
            result_of(bytearray(forged), calls.RENDER_ORIGINAL)


@pytest.mark.parametrize("forged", [FORGED["too long"], FORGED["no facts"], TWICE], ids=["long", "wrong", "two"])
async def test_wrong_reply_ends_its_process_and_the_next_render_succeeds(
    pools: Pools, forged: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await pools(timeout=60.0)
    before = pool.pids
    with monkeypatch.context() as patch:
        forging = Forging("render_original", replies.rendered, forged)
        patch.setattr("service.rendering.calls.RENDER_ORIGINAL", forging)
        with pytest.raises(errors.RenderWorkerDied) as died:
            await pool.render_original(read, ORDER, Trace())
    assert died.value.strikes == 2
    assert (await pool.render_original(read, ORDER, Trace())).width == 16
    assert len(pool.pids) == 1
    assert pool.pids != before


async def test_process_that_sends_without_a_call_is_replaced(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pools()
    before = pool.pids
    with monkeypatch.context() as patch:
        twice = Forging("render_original", replies.rendered, framed(FACTS, PICTURE), replies=True)
        patch.setattr("service.rendering.calls.RENDER_ORIGINAL", twice)
        try:  # the second reply comes with the first, or when the process is idle
            await pool.render_original(read, ORDER, Trace())
        except errors.RenderWorkerDied:
            pass
    await until(lambda: len(pool.pids) == 1 and pool.pids != before)
    assert (await pool.render_original(read, ORDER, Trace())).width == 16


async def test_reply_that_is_cut_short_ends_its_process_in_time(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await pools(timeout=2.0)
    (before,) = pool.pids
    with monkeypatch.context() as patch:
        half = Forging("render_original", replies.rendered, framed(FACTS, PICTURE)[:-1])
        patch.setattr("service.rendering.calls.RENDER_ORIGINAL", half)
        with pytest.raises(errors.RenderTimedOut):
            await pool.render_original(read, ORDER, Trace())
    await until(lambda: len(pool.pids) == 1 and before not in pool.pids)
    pool = await pools()
    assert (await pool.render_original(read, ORDER, Trace())).width == 16


async def test_service_answers_200_after_a_forged_reply(
    serve: Serve, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for contact in (1, 2):
        (images / f"{contact}.png").write_bytes(saved(quarters(64, 48 + contact), "PNG"))
    client = await serve()
    with monkeypatch.context() as patch:
        forging = Forging("render_original", replies.rendered, framed(5))
        patch.setattr("service.rendering.calls.RENDER_ORIGINAL", forging)
        assert (await client.get("/api/v1/Contact/1/Image?w=16")).status in (422, 503)
    for width in (16, 17, 18):
        assert (await client.get(f"/api/v1/Contact/2/Image?w={width}")).status == 200


RESULTS: list[tuple[Callable[..., Any], object]] = [
    (replies.layers, {"landlock": 4}),
    (replies.nothing, None),
    (replies.picture, b"picture"),
    (replies.optional_picture, b"picture"),
    (replies.optional_picture, None),
    (replies.rendered, Rendered(b"picture", 16, 12, 3, first_frame=False, mezzanine_possible=True)),
    (replies.rendered, Rendered(b"picture", 16, 12, 1, first_frame=False, thumb_hash="WsYCA4BqaVp7hwh4mISPhgg=")),
    (replies.optional_mezzanine, (b"mezzanine", Reduction((2000, 1500), (1000, 750)))),
    (replies.optional_mezzanine, None),
]


@pytest.mark.parametrize(("reader", "result"), RESULTS)
def test_result_is_the_same_behind_its_frame(reader: Callable[..., Any], result: object) -> None:
    whole = bytearray(b"".join(replies.frame(result)))
    assert replies.missing(whole) == 0
    assert replies.result(whole, reader) == result


@pytest.mark.parametrize(
    "error",
    [
        errors.Unrenderable("The picture is corrupt."),
        errors.BeyondFormat("%(width)s of %(name)s", {"width": 4000, "name": "w"}),
        errors.UnsupportedUpload("%(kind)s", {"kind": "TIFF"}),
        unwritable(Format.PNG, "é" * 200),
        FileUnread(),
    ],
)
def test_error_is_the_same_behind_its_frame(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        replies.result(bytearray(b"".join(replies.error_frame(error))), replies.nothing)
    assert type(raised.value) is type(error)
    assert raised.value.args == error.args


def test_error_without_a_name_says_what_it_was() -> None:
    with pytest.raises(replies.RenderFailed, match="by zero"):
        replies.result(bytearray(b"".join(replies.error_frame(ZeroDivisionError("by zero")))), replies.nothing)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["Unrenderable", "BadParameter", "FileUnread", "PictureError", "x"])
REPORTS = st.fixed_dictionaries({}, optional={"error": NAMES | JSON, "message": JSON, "values": JSON})
MADE = st.fixed_dictionaries(dict.fromkeys(FACTS, JSON), optional={"data": JSON})
REDUCED = st.fixed_dictionaries({"original": JSON, "reduced": JSON})


@given(JSON | REPORTS | MADE | REDUCED, st.binary(max_size=8))
@examples(300)
def test_any_frame_gives_a_result_or_an_error_of_pictures(facts: object, data: bytes) -> None:
    allowed = (replies.BadReply, replies.RenderFailed, errors.PictureError, FileUnread)
    for call in (each for each in vars(calls).values() if isinstance(each, calls.Call)):
        try:
            result_of(bytearray(framed(facts, data)), call)
        except allowed as error:
            str(error)  # the text has all its values
