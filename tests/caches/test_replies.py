"""Replies are parsed as hiredis parses them, however their bytes arrive."""

from __future__ import annotations

from typing import Any

import pytest
from hiredis import Reader
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from service.caches.replies import Incomplete, ReplyBuffer, TooLong

MOST = 4_000_000
ALL = [
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"$0\r\n\r\n",
    b":-12\r\n",
    b"+OK\r\n",
    b"-WRONGTYPE a value\r\n",
    b"*3\r\n$2\r\n\r\n\r\n$-1\r\n*2\r\n:1\r\n+yes\r\n",
    b"$300000\r\n%b\r\n" % bytes(300_000),
    b"$3000000\r\n%b\r\n" % bytes(3_000_000),
]


def receive(buffer: ReplyBuffer, data: bytes) -> list[Any]:
    """Have *buffer* receive *data* and return the replies that are complete."""
    replies = []
    at = 0
    while at < len(data):
        space = buffer.space()
        size = min(len(space), len(data) - at)
        space[:size] = data[at : at + size]
        buffer.received(size)
        at += size
        try:
            while True:
                replies.append(buffer.take(bytes))
        except Incomplete:
            pass
    return replies


def parsed(data: bytes) -> list[Any]:
    """Return the replies in *data* as hiredis parses them."""
    reader = Reader(replyError=ResponseError, notEnoughData=Incomplete)
    reader.feed(data)
    return list(iter(reader.gets, Incomplete))


@given(st.lists(st.sampled_from(ALL[:8]), max_size=8), st.data())
def test_replies_in_any_pieces_are_those_of_hiredis(replies: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    buffer, found = ReplyBuffer(MOST), []
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += receive(buffer, whole[begin:end])
    assert repr(found) == repr(parsed(whole))  # errors have no equality


def test_replies_larger_than_the_buffer_are_whole_and_the_next_ones_follow() -> None:
    buffer = ReplyBuffer(MOST)
    for _ in range(3):
        assert repr(receive(buffer, b"".join(ALL))) == repr(parsed(b"".join(ALL)))


def test_view_of_a_bulk_string_is_its_bytes_until_more_are_received() -> None:
    buffer = ReplyBuffer(MOST)
    space = buffer.space()
    space[:11] = b"$5\r\nabcde\r\n"
    buffer.received(11)
    assert buffer.take(memoryview) == b"abcde"


@pytest.mark.parametrize(
    "data", [b"$101\r\n", b"$99999999999999\r\n", b"*2\r\n$80\r\n%b\r\n$9\r\n" % bytes(80), b"+" * 102]
)
def test_reply_that_is_too_long_is_not_received(data: bytes) -> None:
    with pytest.raises(TooLong):
        receive(ReplyBuffer(100), data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400\r\n",
        b"$x\r\n",
        b":\r\n",
        b"*9999999\r\n",
        b"\r\n",
        b"*1\r\n" * 5000,
        b"*2\r\n" + b"*1000\r\n%b" % (b":1\r\n" * 1000) * 2,
        b"+" * 70_000,
    ],
)
def test_other_protocols_and_endless_arrays_are_refused(data: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        receive(ReplyBuffer(MOST), data)
