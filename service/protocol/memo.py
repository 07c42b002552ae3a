"""Remembers what a pure function made of a raw text. Bounded in entries and in the length of what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

ENTRIES = 2048
LONGEST = 512
"""Characters. A longer text is worked out each time, so that a flood of long headers cannot fill the memory."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def memoized(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Keep the answers of *function*, whose arguments are hashable; what it raises is not kept."""
    kept = cast("Callable[_P, _R]", lru_cache(maxsize=ENTRIES)(function))

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for each in (*args, *kwargs.values()):
            if isinstance(each, str) and len(each) > LONGEST:
                return function(*args, **kwargs)
        return kept(*args, **kwargs)

    return call
