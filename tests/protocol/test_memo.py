"""What is memoized of a pure function, and what is not."""

import pytest

from service.protocol.memo import ENTRIES, LONGEST, memoized


def test_short_texts_are_worked_out_once_and_long_ones_each_time() -> None:
    seen: list[str | None] = []

    @memoized
    def length(text: str | None, *, extra: str = "") -> int:
        seen.append(text)
        return len(text or "") + len(extra)

    short, long = "a" * LONGEST, "a" * (LONGEST + 1)
    assert [length(short), length(short), length(None), length(None)] == [LONGEST, LONGEST, 0, 0]
    assert seen == [short, None]
    assert [length(long), length(long), length("", extra=long), length("", extra=long)] == [LONGEST + 1] * 4
    assert seen == [short, None, long, long, "", ""]


def test_no_more_than_so_many_answers_are_kept() -> None:
    seen: list[str] = []
    keep = memoized(seen.append)
    for number in (*range(ENTRIES + 1), 0):
        keep(str(number))
    assert len(seen) == ENTRIES + 2


def test_failures_are_raised_anew() -> None:
    @memoized
    def fail(text: str) -> None:
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            fail("bad")
