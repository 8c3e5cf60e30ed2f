"""The prior: its numbers, their file and their name."""

import gc
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.constants import SHAPES, Prior, know, prior
from shared.errors import InvalidValue
from tests.priors import draw_prior, numbers

NAMES = list(SHAPES)


def arrays(**changed: object) -> dict[str, Any]:
    """Draw the arrays of a prior, some of them replaced."""
    return {**numbers(), **changed}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["shape", "nan", "infinite"])
def test_wrong_numbers_are_refused_by_name(name: str, fault: str) -> None:
    """An array of another shape, or one that is not finite somewhere, is named."""
    array = numbers()[name]
    if fault == "shape":
        array = array[:-1]
    else:
        array.flat[-1] = np.nan if fault == "nan" else -np.inf

    with pytest.raises(InvalidValue, match=f"^{name}="):
        Prior(**arrays(**{name: array}))


@pytest.mark.parametrize("name", ["spread", "sizes"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_spread_or_size_that_is_not_positive_is_refused(name: str, value: float) -> None:
    """Features are divided by the one, tails are as wide as the other."""
    array = numbers()[name]
    array.flat[3] = value

    with pytest.raises(InvalidValue, match=f"{name}.*must be positive"):
        Prior(**arrays(**{name: array}))


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_single_and_cannot_be_changed(name: str) -> None:
    """What is shared by all series is read-only float32, and no view of what it was made of."""
    given = numbers()
    made = Prior(**arrays(**given))
    given[name].flat[0] += 5

    array: np.ndarray[Any, Any] = getattr(made, name)

    assert array.dtype == np.float32
    assert (array == numbers()[name].astype(np.float32)).all()
    with pytest.raises(ValueError, match="read-only"):
        array.flat[0] = 1


def test_the_digest_is_that_of_all_numbers_in_their_order() -> None:
    """16 hex digits of the SHA-256 of the float32 arrays, one after the other."""
    content = b"".join(numbers()[name].astype("<f4").tobytes() for name in NAMES)

    assert draw_prior().digest == hashlib.sha256(content).hexdigest()[:16]


def test_any_other_number_has_another_digest() -> None:
    """One number changed in any of the arrays makes another prior of it."""
    others = []
    for name in NAMES:
        array = numbers()[name]
        array.flat[-1] += 0.25
        others.append(Prior(**arrays(**{name: array})).digest)

    assert len({draw_prior().digest, *others}) == 1 + len(NAMES)


def test_a_file_holds_the_same_bytes_and_numbers_each_time(tmp_path: Path) -> None:
    """Saved twice it is the same file; loaded it is the same prior, and saved again as well."""
    paths = [tmp_path / name for name in ("one.npz", "two", "again.npz")]
    draw_prior().save(paths[0])
    draw_prior().save(paths[1])

    loaded = Prior.load(paths[1])
    loaded.save(paths[2])

    assert loaded.digest == draw_prior().digest
    assert all((getattr(loaded, name) == getattr(draw_prior(), name)).all() for name in NAMES)
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("until", [1_709_251_200_000, None])
def test_a_file_says_until_when_its_prior_was_trained(tmp_path: Path, until: int | None) -> None:
    """Or that it does not know; the digest is that of the numbers alone."""
    path = tmp_path / "mine.npz"
    replace(draw_prior(), trained_until=until).save(path)

    loaded = Prior.load(path)

    assert loaded.trained_until == until
    assert loaded.digest == draw_prior().digest


class Attack:
    """Would print when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("owned",)


def spoiled(fault: str) -> bytes:
    """Return the file of a prior with something wrong in it."""
    whole: dict[str, Any] = dict(numbers())
    if fault == "pickle":
        whole["day"] = np.array([Attack()] * 7, object)
    if fault == "words":
        whole["day"] = np.array(["a"] * 7)
    if fault == "lacking":
        del whole["day"]
    file = io.BytesIO()
    np.savez(file, **whole)
    content = bytearray(file.getvalue())
    if fault == "cut short":
        del content[2_000:]
    if fault == "changed":
        content[2_000] ^= 1
    return bytes(content)


def one_array() -> bytes:
    """Return the file of a single array."""
    file = io.BytesIO()
    np.save(file, np.zeros(7))
    return file.getvalue()


FAULTS = "pickle", "words", "lacking", "cut short", "changed"
FILES = {"text": b"center: 1", "empty": b"", "one array": one_array()}
FILES |= {fault: spoiled(fault) for fault in FAULTS}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_holds_no_prior_is_named(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says which file, what makes a right one, and runs nothing that is in it."""
    path = tmp_path / "prior.npz"
    path.write_bytes(FILES[fault])

    with pytest.raises(InvalidValue, match=f"prior='{path}'.*candlecast pretrain"):
        Prior.load(path)

    gc.collect()  # a file that was left open is warned of here, not in a later test
    assert capsys.readouterr().out == ""


def test_no_file_is_named(tmp_path: Path) -> None:
    """A path without a file, or that of a folder, is named like one that holds something else."""
    for path in (tmp_path, tmp_path / "missing.npz"):
        with pytest.raises(InvalidValue, match=f"prior='{path}'.*candlecast pretrain"):
            Prior.load(path)


def test_the_shipped_one_is_whole() -> None:
    """It is the one by default."""
    shipped, named = prior(), prior("shipped")

    assert shipped is not None
    assert named is not None
    assert named.digest == shipped.digest
    assert shipped.trained_until == 1_709_251_200_000  # the first of March 2024


def test_none_is_no_prior() -> None:
    """A model may begin without what other series have taught."""
    assert prior("none") is None


def test_a_prior_is_found_by_its_digest_once_it_is_known(tmp_path: Path) -> None:
    """Before that, or under a digest that no file has, the error says what to set."""
    path, digest = tmp_path / "mine.npz", draw_prior(77).digest
    draw_prior(77).save(path)
    with pytest.raises(InvalidValue, match=rf"'{digest}'.*set CANDLECAST_PRIOR"):
        prior(digest)

    assert know(path) == digest

    found = prior(digest)
    assert found is not None
    assert found.digest == digest
    with pytest.raises(InvalidValue, match="set CANDLECAST_PRIOR"):
        prior("0" * 16)


def test_a_file_that_was_replaced_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    """A digest stands for the numbers that were read, whatever the file holds by now."""
    path = tmp_path / "mine.npz"
    draw_prior(78).save(path)
    digest = know(path)
    draw_prior(79).save(path)

    found = prior(digest)
    assert found is not None
    assert found.digest == digest
