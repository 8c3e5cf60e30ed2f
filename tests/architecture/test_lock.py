"""The two locks: complete, hashed, and the core a subset of the whole."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\$")
EXTRAS = PROJECT["project"]["optional-dependencies"]


class Pin(NamedTuple):
    """One line of a lock; a name may have several for several Pythons."""

    name: str
    version: str
    marker: str


def read(lock: str) -> dict[Pin, set[str]]:
    """Return the hashes by pin; a line that is neither is an error."""
    pins: dict[Pin, set[str]] = {}
    hashes: set[str] = set()
    for line in (ROOT / lock).read_text().splitlines():
        if line.startswith("#"):
            continue
        if match := REQUIREMENT.match(line):
            hashes = pins.setdefault(Pin(*match.groups(default="")), set())
        else:
            hashes.add(line.strip().removesuffix(" \\"))
    return pins


def unmet(wanted: list[str], pins: dict[Pin, set[str]]) -> list[str]:
    """Return the requirements for which a lock has no pin, or a wrong one."""
    versions: dict[str, set[str]] = {}
    for pin in pins:
        versions.setdefault(canonicalize_name(pin.name), set()).add(pin.version)
    requirements = [Requirement(text) for text in wanted]
    return [
        str(requirement)
        for requirement in requirements
        if requirement.name != "candlecast"
        and not all(
            requirement.specifier.contains(version)
            for version in versions.get(canonicalize_name(requirement.name), {"0"})
        )
    ]


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-core.txt"])
def test_every_pin_has_hashes(lock: str) -> None:
    """Every pin carries hashes and nothing but hashes."""
    pins = read(lock)

    assert pins
    assert all(pins.values())
    assert all(
        re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", hash_)
        for hashes in pins.values()
        for hash_ in hashes
    )


def test_the_core_is_a_subset() -> None:
    """What the core pins, the whole pins too: same version, same condition, same hashes."""
    whole, core = read("requirements.txt"), read("requirements-core.txt")

    assert {pin: hashes for pin, hashes in whole.items() if pin in core} == core


def test_the_core_stays_small() -> None:
    """A worker image brings no data frames, no MLflow, no exchange library and no tools."""
    names = {pin.name for pin in read("requirements-core.txt")}

    extras = [Requirement(text).name for texts in EXTRAS.values() for text in texts]

    assert names.isdisjoint(extras)


def test_locks_meet_pyproject() -> None:
    """What pyproject asks for, to build, to run and in every extra, the locks pin."""
    needed = PROJECT["build-system"]["requires"] + PROJECT["project"]["dependencies"]
    whole = read("requirements.txt")

    assert unmet(needed, read("requirements-core.txt")) == []
    assert unmet(needed + [text for texts in EXTRAS.values() for text in texts], whole) == []
