"""The market's own clock: settable, faster than the machine's, and ahead of it or behind."""

import time


class Clock:
    """Runs from ``start_ms`` on until it meets the machine's clock, from there on in step with it.

    Parameters
    ----------
    start_ms
        What it shows when it is made, UTC milliseconds.
    factor
        So many times faster than real time; 0 stands still and is moved by `set`.
    skew_ms
        How far ahead of the machine's clock it is once it has met it; negative is behind.
    machine_ms
        The machine's clock at ``start_ms``; now by default. With it, another process on this
        machine makes the same clock.
    """

    def __init__(
        self, start_ms: int, factor: float = 1.0, skew_ms: int = 0, machine_ms: int | None = None
    ) -> None:
        self.start_ms = start_ms
        self.skew_ms = skew_ms
        # One value, so that a thread that reads it meets no half of a change.
        self._pace = (start_ms, machine_now_ms() if machine_ms is None else machine_ms, factor)

    def now_ms(self) -> int:
        """UTC milliseconds in the market."""
        at_ms, machine_ms, factor = self._pace
        now_ms = machine_now_ms()
        return min(at_ms + round((now_ms - machine_ms) * factor), now_ms + self.skew_ms)

    def set(self, now_ms: int, factor: float | None = None) -> None:
        """Go on from there, at another pace if ``factor`` says so."""
        self._pace = (now_ms, machine_now_ms(), self._pace[2] if factor is None else factor)

    def as_json(self) -> dict[str, float]:
        """Return what makes the same clock in another process."""
        at_ms, machine_ms, factor = self._pace
        return {
            "start_ms": at_ms,
            "factor": factor,
            "skew_ms": self.skew_ms,
            "machine_ms": machine_ms,
        }


def machine_now_ms() -> int:
    """Return this machine's clock."""
    return time.time_ns() // 1_000_000
