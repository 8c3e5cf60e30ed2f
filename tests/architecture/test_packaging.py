"""The wheel: what is in it, that it runs outside the tree, that our general names stay ours."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
NAMES = {*SETUPTOOLS["packages"], *SETUPTOOLS["py-modules"]}
pytestmark = pytest.mark.timeout(180)


def pip(*arguments: str | Path) -> None:
    """Run our pip; it needs no network for what is asked of it here."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, env={**os.environ, "PIP_NO_INDEX": "1"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy: a build leaves files beside its sources."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for package in SETUPTOOLS["packages"]:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignore)
    for name in ("candlecast.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", dist, source)
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a clean environment outside the tree; dependencies are lent to it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "--no-deps", wheel)
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A path in a .pth file adds the folder alone: our own editable install there stays asleep.
    Path(purelib, "lent.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def run(elsewhere: Path, *command: str) -> str:
    """Run a program of the clean environment there and return what it prints."""
    environment = {"PATH": os.defpath, "HOME": str(elsewhere), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [elsewhere / "bin" / command[0], *command[1:]],
        check=True,
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env=environment,
    )
    return done.stdout


def test_wheel_holds_the_folders_and_nothing_else(wheel: Path) -> None:
    """Every file of our packages is in the wheel, and no other."""
    expected = {"candlecast.py"} | {
        path.relative_to(ROOT).as_posix()
        for package in SETUPTOOLS["packages"]
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name for name in names if ".dist-info/" not in name} == expected


def test_packages_are_typed() -> None:
    """Each package says that its annotations are to be believed."""
    missing = [name for name in SETUPTOOLS["packages"] if not (ROOT / name / "py.typed").is_file()]

    assert missing == []


def test_command_runs_outside_the_tree(elsewhere: Path) -> None:
    """The installed command runs where there is no checkout."""
    assert "demo" in run(elsewhere, "candlecast", "--help")


def test_names_are_ours_alone(elsewhere: Path) -> None:
    """No other distribution installs a top-level package of our general names."""
    program = "import importlib.metadata as m, json; print(json.dumps(m.packages_distributions()))"
    owners = json.loads(run(elsewhere, "python", "-c", program))

    assert {name: set(owners.get(name, ())) for name in NAMES} == {
        name: {"candlecast"} for name in NAMES
    }


def test_imports_come_from_the_wheel(elsewhere: Path) -> None:
    """Outside the tree every one of our names is found, in the environment itself."""
    program = (
        "import importlib.util as u, json, sys;"
        "print(json.dumps([u.find_spec(name).origin for name in sys.argv[1:]]))"
    )
    places = json.loads(run(elsewhere, "python", "-c", program, *sorted(NAMES)))

    assert [place for place in places if not place.startswith(str(elsewhere))] == []
