"""The calls that the service makes in a render process exist there."""

from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import pytest

from service.rendering import calls, worker

CALLS = {name: call for name, call in vars(calls).items() if isinstance(call, calls.Call)}


@pytest.mark.parametrize("name", CALLS)
def test_call_is_a_function_of_the_render_process_with_that_result(name: str) -> None:
    function = getattr(worker, CALLS[name].name)
    (result,) = get_args(get_type_hints(calls)[name])
    assert get_type_hints(function)["return"] == result
    assert inspect.getmodule(function) is worker


def test_call_returns_what_the_function_returns() -> None:
    assert calls.SANDBOX_LAYERS() == worker.sandbox_layers()
