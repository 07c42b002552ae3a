"""Memoization of pure functions of raw texts, bounded in entries and in the length of a text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

ENTRIES = 2048
"""Results that are kept for one function."""
LONGEST = 512
"""Characters of a text whose result is kept. Otherwise long headers could fill the memory."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def memoized(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Keep the results of *function*, whose arguments are hashable. Exceptions are not kept."""
    kept = cast("Callable[_P, _R]", lru_cache(maxsize=ENTRIES)(function))

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for value in (*args, *kwargs.values()):
            if isinstance(value, str) and len(value) > LONGEST:
                return function(*args, **kwargs)
        return kept(*args, **kwargs)

    return call
