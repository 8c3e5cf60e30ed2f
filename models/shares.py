"""What a state holds of each of a pair of models, and another pair made of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from models import catalog
from models.conformal import told_of
from models.envelope import fingerprint
from models.learner import Learner

_NUMBER_BYTES = 8

Values = Callable[[bytes], Iterable[Any]]
"""Reads the values of one model."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a state holds of one model.

    Its numbers, and its other values: the first, where they are there, and those not read yet.
    """

    arrays: bytes
    first: tuple[Any, ...]
    rest: bytes

    def memory(self, values: Values) -> tuple[Any, ...]:
        """Return the memory of a learner of this model alone."""
        return self.arrays, *self.first, *values(self.rest)


def shared_out(
    model: str, arrays: bytes, own: Any, parts: Iterable[tuple[str, int, bytes]]
) -> dict[tuple[str, str], Share]:
    """Return the share of each model, by its name and fingerprint.

    Parameters
    ----------
    model
        Name of the pair.
    arrays
        The numbers of both, the speaker's first.
    own
        The first value of the speaker.
    parts
        Of each its fingerprint, how many numbers are its, and its values.
    """
    found: dict[tuple[str, str], Share] = {}
    at = 0
    for name, (print_, numbers, rest) in zip(catalog.roles(model), parts, strict=False):
        end = at + numbers * _NUMBER_BYTES
        found[name, print_] = Share(arrays[at:end], () if found else (own,), rest)
        at = end
    return found


def learner_of(
    found: dict[tuple[str, str], Share], like: Learner, values: Values
) -> Learner | None:
    """Return a new learner that knows what is found of its models; None if the first is not.

    What the first holds and cannot be read is raised; a challenger begins anew then.
    """
    other = Learner(**like.parameters)
    for role, name in zip((other, other.shadow), catalog.roles(like.model), strict=True):
        share = role and found.get((name, fingerprint(name, like.horizon)))
        if role and share:
            alone = Learner(like.timeframe, like.horizon, name)
            try:
                alone.recall(share.memory(values))
            except (MemoryError, KeyboardInterrupt):
                raise
            except BaseException as error:  # what a challenger is made of is its user's
                if role is other:
                    raise
                why = told_of(error)
                role.forget_unless(lambda _, why=why: why)  # type: ignore[misc]
                continue
            role.take_over(alone)
        elif role is other:
            return None
    return other
