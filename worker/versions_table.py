"""The versions of a model as lines."""

from collections.abc import Iterator, Sequence

from shared.candle import utc
from worker.version import Version

_HEADINGS = ("version", "learned up to", "candles", "skill", "in 90 % band", "alias", "gate")
_WIDTHS = (7, 16, 8, 8, 12, 12)
_LEFT = {"learned up to", "alias"}


def lines(versions: Sequence[Version]) -> Iterator[str]:
    """Yield a heading and a line for each version, by spaces alone: the same in a pipe."""
    if versions:
        yield _line(_HEADINGS)
    for one in versions:
        yield _line(
            (
                str(one.number),
                utc(one.cursor),
                str(one.sequence),
                _share(one.skill),
                _share(one.coverage),
                ", ".join(one.aliases) or "-",
                _said(one),
            )
        )


def _line(words: Sequence[str]) -> str:
    *cells, said = words
    padded = [
        word.ljust(width) if heading in _LEFT else word.rjust(width)
        for word, width, heading in zip(cells, _WIDTHS, _HEADINGS, strict=False)
    ]
    return "  ".join((*padded, said))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _said(version: Version) -> str:
    if version.passed is None:
        return "not asked"
    word = "passed" if version.passed else "failed"
    began = f"began as {version.origin}" if version.origin else ""
    said = "; ".join(filter(None, (version.reasons, began)))
    return f"{word}: {said}" if said else word
