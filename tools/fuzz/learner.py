"""The run of one target by atheris, in a process of its own, since libFuzzer ends its process.

This module imports what the targets need, instrumented. Its processes are forks, so that this is done once.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import atheris

_INSTRUMENTED = ["service", "aiohttp.multipart", "aiohttp.helpers", "aiohttp._cookie_helpers"]

with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=_INSTRUMENTED):
    from tools.fuzz.table import TARGETS as TARGETS
    from tools.fuzz.target import Target

_MEMORY = 1_073_741_824
"""Bytes of address space, as for a render process."""
_LONGEST = 8_192
"""Bytes of an input at most."""
_SECONDS = 60
"""Seconds for one input, on a machine so busy that a millisecond takes seconds."""
_RUNS = re.compile(r"stat::number_of_executed_units: *(\d+)")
_COVERED = re.compile(r" cov: (\d+)")
_NOISE = re.compile(r"^(?:#\d|INFO|WARNING|stat::).*\n", re.MULTILINE)
_PRINTED = 4_000
"""Characters that are kept of what libFuzzer prints about a failure."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What a run has found: the numbers of inputs, of branches covered, and of inputs learned.

    *failure* is empty, or what libFuzzer prints about the first input that failed.
    """

    inputs: int
    covered: int
    learned: int
    failure: str


def learn(target: Target, seconds: float, seed: int, failing: str) -> Learned:
    """Fuzz *target* for a number of *seconds*, or until an input fails.

    That input is written to the file whose path begins with *failing*. With *seed* 0, runs differ.
    """
    # No `with`: the fork leaves this function by SystemExit, and must not remove the folder.
    folder = Path(tempfile.mkdtemp())
    corpus, output = folder / "corpus", folder / "output"
    corpus.mkdir()
    given = list(target.corpus())
    for number, data in enumerate(given):
        (corpus / str(number)).write_bytes(data)
    options = [f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}", f"-artifact_prefix={failing}"]
    options += [f"-max_len={_LONGEST}", f"-timeout={_SECONDS}", f"-report_slow_units={_SECONDS}"]
    options += ["-rss_limit_mb=0", "-print_final_stats=1", str(corpus)]
    if (process := os.fork()) == 0:
        _fuzz(target, options, output)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    printed = output.read_text("utf-8", errors="replace")
    learned = len(list(corpus.iterdir())) - len(given)
    shutil.rmtree(folder)
    inputs, covered = (max(map(int, found.findall(printed)), default=0) for found in (_RUNS, _COVERED))
    failure = f"exit code {code}\n{_NOISE.sub('', printed)[-_PRINTED:]}" if code else ""
    return Learned(inputs, covered, learned, failure)


def _fuzz(target: Target, options: list[str], output: Path) -> NoReturn:
    with output.open("wb") as file:
        for descriptor in (1, 2):  # decoders in C write there, too
            os.dup2(file.fileno(), descriptor)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    mutate = target.mutate

    def changed(data: bytes, most: int, number: int) -> bytes:
        assert mutate is not None
        return mutate(data, number)[:most] if number % 2 else bytes(atheris.Mutate(data, most))

    atheris.Setup([sys.argv[0], *options], target.run, **({"custom_mutator": changed} if mutate else {}))
    atheris.Fuzz()
    raise AssertionError("atheris ends the process")
