"""Target: the replies of a render process, which a picture may have taken over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from service.errors import PictureError
from service.imaging.errors import unsupported
from service.imaging.geometry import MAX_SIDE
from service.imaging.order import THUMB_HASH, Reduction, Rendered
from service.protocol.languages import Languages
from service.rendering import calls, replies
from service.rendering.process import result_of
from service.rendering.replies import BadReply, RenderFailed
from service.system.open_file import FileUnread

_CALLS = [each for each in vars(calls).values() if isinstance(each, calls.Call)]
_LANGUAGES = Languages.load()
_MOST_WORDS = 50_000
"""Characters of the text of an error at most."""


def frame(data: bytes) -> None:
    """Read a reply as that of every call."""
    received = bytearray(data)
    try:
        if replies.missing(received):
            return
    except BadReply:
        return
    for call in _CALLS:
        try:
            result = result_of(received, call)
        except (BadReply, RenderFailed, FileUnread):
            pass
        except PictureError as error:
            assert len(_LANGUAGES.words(error.message, error.values, "de", "de-CH").encode()) < _MOST_WORDS
        else:
            if isinstance(result, Rendered):
                assert result.data
                assert 0 < min(result.width, result.height) <= max(result.width, result.height) <= MAX_SIDE
                assert not result.thumb_hash or THUMB_HASH.fullmatch(result.thumb_hash)


def frame_corpus() -> Iterator[bytes]:
    """Yield the reply of every call, and of every kind of error."""
    rendered, reduced = Rendered(b"a picture", 3, 2, 1, first_frame=True), Reduction((9, 8), (3, 2))
    hashed = replace(rendered, thumb_hash="WsYCA4BqaVp7hwh4mISPhgg=")
    for result in (None, {"landlock": 4, "seccomp": 1}, b"a picture", rendered, hashed, (b"a picture", reduced)):
        yield b"".join(replies.frame(result))
    for error in (unsupported("TIFF"), FileUnread(), RuntimeError("a bug")):
        yield b"".join(replies.error_frame(error))
