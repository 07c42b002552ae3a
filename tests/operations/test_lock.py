"""pyproject.toml, constraints.txt and the locks agree. `python -m tools.lock` writes the latter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.lock import (
    CONSTRAINTS,
    IMAGE_LOCK,
    LOCK,
    LOCKED_EXTRAS,
    NOT_IN_IMAGE,
    ROOT,
    extra_lock,
    project,
)

LOCKS = (LOCK, IMAGE_LOCK, *map(extra_lock, LOCKED_EXTRAS))

HASHED = re.compile(r"(\S+==[^\\]+?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
PLATFORMS = [
    {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "sys_platform": system,
        "platform_machine": machine,
    }
    for version, (system, machine) in itertools.product(
        ("3.11", "3.12", "3.13", "3.14"), (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
    )
]
"""The supported platforms, as the values of markers."""


def text(name: str) -> str:
    """Return the file without its comments."""
    return "".join(line for line in (ROOT / name).read_text("utf-8").splitlines(True) if not line.startswith("#"))


def constraints() -> list[Requirement]:
    return [Requirement(line) for line in text(CONSTRAINTS).splitlines()]


def lock(name: str) -> list[Requirement]:
    return [Requirement(pin) for pin, _ in HASHED.findall(text(name))]


def build() -> list[Requirement]:
    return [Requirement(line) for line in project()["build-system"]["requires"]]


def needs(*extras: str) -> list[Requirement]:
    """Return the requirements of the build, the service and *extras*."""
    named = project()["project"]
    lines = [*named["dependencies"], *(line for extra in extras for line in named["optional-dependencies"][extra])]
    return [*build(), *map(Requirement, lines)]


def applies(requirement: Requirement, platform: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**default_environment(), **platform, "extra": ""})


def pinned(pins: Iterable[Requirement], platform: dict[str, str]) -> dict[str, Version]:
    """Return the version of every package on *platform*. Fail if a package has two."""
    found: dict[str, Version] = {}
    for pin in pins:
        if applies(pin, platform):
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert found.setdefault(canonicalize_name(pin.name), Version(specifier.version)) == Version(
                specifier.version
            )
    return found


def missing(needed: Iterable[Requirement], pins: Iterable[Requirement]) -> Iterator[str]:
    """Yield the requirements that no pin satisfies, for every platform."""
    for platform in PLATFORMS:
        versions = pinned(pins, platform)
        for need in needed:
            version = versions.get(canonicalize_name(need.name))
            if applies(need, platform) and (version is None or version not in need.specifier):
                yield f"{need} has {version} on {platform}"


def test_every_requirement_of_pyproject_is_constrained() -> None:
    assert list(missing(needs(*project()["project"]["optional-dependencies"]), constraints())) == []


def test_every_requirement_of_service_and_build_is_locked() -> None:
    assert list(missing(needs(*LOCKED_EXTRAS), lock(LOCK))) == []


def test_image_has_every_requirement_but_the_private_server() -> None:
    wanted = [need for need in needs() if need.name != NOT_IN_IMAGE]
    assert list(missing(wanted, lock(IMAGE_LOCK))) == []
    names = {pin.name for pin in lock(IMAGE_LOCK)}
    assert not names & {NOT_IN_IMAGE, "valkey", "psutil"}


@pytest.mark.parametrize("extra", LOCKED_EXTRAS)
def test_image_has_an_extra_only_if_it_is_asked_for(extra: str) -> None:
    own = [Requirement(line) for line in project()["project"]["optional-dependencies"][extra]]
    assert list(missing(own, lock(extra_lock(extra)))) == []
    assert not {pin.name for pin in lock(extra_lock(extra))} & {pin.name for pin in lock(IMAGE_LOCK)}


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda each: "-".join(each.values()))
def test_lock_has_the_versions_of_the_constraints(name: str, platform: dict[str, str]) -> None:
    assert pinned(lock(name), platform).items() <= pinned(constraints(), platform).items()


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_the_lock_is_a_pin_with_hashes(name: str) -> None:
    assert HASHED.sub("", text(name)) == ""


def test_build_is_pinned_to_the_same_version_everywhere() -> None:
    (hatchling,) = build()
    assert hatchling.name == "hatchling"
    for pins in (constraints(), lock(LOCK), lock(IMAGE_LOCK)):
        assert [pin for pin in pins if pin.name == "hatchling"] == [hatchling]


def test_no_file_names_an_index_or_a_machine() -> None:
    for name in (CONSTRAINTS, *LOCKS):
        written = (ROOT / name).read_text("utf-8")
        assert not re.search(r"(?m)://|file:|^-|^\s+--(?!hash=sha256:)|@", written)
        assert written.startswith(
            "# This file was autogenerated by uv via the following command:\n#    python -m tools.lock\n"
        )


def test_pip_accepts_the_constraints() -> None:
    assert "--hash" not in text(CONSTRAINTS)
    assert not [pin for pin in constraints() if pin.extras or pin.url]


def test_differences_are_found() -> None:
    needed = [Requirement("aiohttp>=9999"), Requirement("nowhere"), Requirement("pillow")]
    found = list(missing(needed, constraints()))
    assert len(found) == 2 * len(PLATFORMS)
    assert {each.split(" ")[0] for each in found} == {"aiohttp>=9999", "nowhere"}


def test_documented_commands_use_both() -> None:
    commands = (ROOT / "README.md").read_text("utf-8")
    for rest in (".", "-e '.[test]'"):
        assert f"python3 -m venv .venv && .venv/bin/pip install -c constraints.txt {rest} && " in commands
    for name in ("Dockerfile", ".ci/run"):
        script = (ROOT / name).read_text("utf-8")
        steps = [
            r"pip install [^\n]*--require-hashes[ \\\n]*-r (?:requirements|locks/image)\.lock",
            r"pip install [^\n]*--no-deps --no-build-isolation \.",
        ]
        assert re.search("(?s)" + ".*".join([*steps, r"pip [^\n]*check"]), script)
