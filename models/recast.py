"""A state read in part: for another pair of models, or what speaks alone."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from models import catalog
from models.conformal import told_of
from models.envelope import inside, verified
from models.learner import Learner
from models.shares import Share, learner_of, shared_out
from models.signer import Signer
from models.state import SURROUNDINGS, check_model, outer, values_of
from shared.candle import Series
from shared.errors import OtherModel, StateError


def recast(raw: bytes, signer: Signer, series: Series, into: Learner) -> Learner:
    """Go on from a state of another pair of models, where what speaks now is one of both there.

    A challenger that is not, that has changed or cannot be read begins anew. What is not wanted is
    not even looked at.

    Raises
    ------
    StateError
        As `load` does, or where what speaks is neither, or has changed.
    """
    held = _parts_of(raw, signer, None, series)
    into.recall(_part(held, into, signer.modules).memory())
    return into


def speaker(raw: bytes, signer: Signer, fingerprint: str | None, series: Series) -> Learner:
    """Read of a state what speaks there, alone: its challenger is not looked at.

    Raises
    ------
    OtherModel, StateError
        As `load` does.
    """
    held = _parts_of(raw, signer, fingerprint, series)
    with _translated():
        alone = held[0] | {"model": catalog.roles(held[0]["model"])[0]}
        check_model(alone["model"], signer.modules)
        like = Learner(**alone)
    return _part(held, like, signer.modules)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn whatever what is read raises into a StateError, but for what is not of its making."""
    try:
        yield
    except SURROUNDINGS:
        raise
    except BaseException as error:
        raise StateError(told_of(error)) from error


def _parts_of(
    raw: bytes, signer: Signer, fingerprint: str | None, series: Series
) -> tuple[dict[str, Any], Any, dict[Any, Share]]:
    """Return a state's parameters, the series' own values, and the share of each model."""
    body = inside(verified(raw, signer), signer, fingerprint, str(series))
    with _translated():
        parameters, arrays, both, parts = outer(body)
        own, _ = values_of(both, signer.modules)
        return parameters, own, shared_out(parameters["model"], arrays, own, parts)


def _part(
    held: tuple[dict[str, Any], Any, dict[Any, Share]],
    like: Learner,
    modules: Collection[str] | None,
) -> Learner:
    """Return a new learner like this one that knows what is there of its models."""
    parameters, own, found = held
    other = None
    with _translated():
        if (parameters["timeframe"], parameters["horizon"]) == like.kind:
            other = learner_of(found, like, partial(values_of, modules=modules))
        if other:
            # Of the series, though what speaks may have come later.
            other.sequence, _, other.rested_at = own
    if other is None:
        names = f"state of {parameters['model']}, wanted {like.model}"
        raise OtherModel(f"{names}: what is to speak is not there, or has changed")
    return other
