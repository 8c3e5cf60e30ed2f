"""Times and numbers as other programs spell them in JSON."""

import pytest

from producers.values import read_number, read_time
from shared.errors import InvalidValue

T0 = 1_704_067_200_000


@pytest.mark.parametrize(
    "spelling",
    [
        *(T0, float(T0), str(T0), T0 // 1_000, "1704067200.000", T0 * 1_000, T0 * 1_000_000),
        *("2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01 00:00:00.000", "20240101T000000Z"),
        "2024-01-01T05:30:00+05:30",
    ],
)
def test_one_time_in_every_spelling(spelling: object) -> None:
    """The size of a number tells its unit; what names no zone is UTC."""
    assert read_time(spelling) == T0


@pytest.mark.parametrize(
    "spelling",
    [
        *(None, True, "", "noon", "2024-13-01", [T0], {}, float("nan"), float("inf"), 10**30),
        *(0, -T0, 86_400_000, T0 + 0.5, T0 * 1_000 + 1, "2024-01-01T00:00:00.0001Z", "1_704_067"),
    ],
)
def test_what_is_no_time_is_named(spelling: object) -> None:
    """Nothing is rounded or guessed."""
    with pytest.raises(InvalidValue, match="UTC milliseconds, such as 1704067200000"):
        read_time(spelling)


@pytest.mark.parametrize("spelling", [1_500, 1_500.0, "1500", "1.5e3", " 1500.00 ", "+1500."])
def test_one_number_in_every_spelling(spelling: object) -> None:
    """Text is read by Python's own conversion, which is exact."""
    assert read_number("close", spelling) == 1_500.0


@pytest.mark.parametrize("spelling", [None, True, "", "n/a", "1_500", "nan", "0x1F", [1], 10**310])
def test_what_is_no_number_is_named(spelling: object) -> None:
    """The error names the field and the value."""
    with pytest.raises(InvalidValue, match=r"close=.*must be a number") as found:
        read_number("close", spelling)

    assert found.value.value == spelling
