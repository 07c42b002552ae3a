"""Which results of a pure function are kept."""

import pytest

from service.protocol.memo import ENTRIES, LONGEST, memoized


def test_results_of_short_texts_are_kept_and_of_long_texts_are_not() -> None:
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


def test_number_of_kept_results_is_bounded() -> None:
    seen: list[str] = []
    keep = memoized(seen.append)
    for number in (*range(ENTRIES + 1), 0):
        keep(str(number))
    assert len(seen) == ENTRIES + 2


def test_exceptions_are_not_kept() -> None:
    @memoized
    def fail(text: str) -> None:
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            fail("bad")
