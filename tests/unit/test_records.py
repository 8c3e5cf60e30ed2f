"""What the store makes of answers that no script of ours gives."""

import pytest

from shared.records import Claim


@pytest.mark.parametrize("field", [b"", b"text", b"-5", b"9" * 100, b"\xff"])
def test_no_row_of_a_claim_can_fail_the_others(field: bytes) -> None:
    """What is no number is read as none, what is no text as near to it as may be."""
    row = [b"test:BTC/USDT:1h", field, field, 0, 0, 0, *[field] * 8, [(b"5-0", [field])]]
    row += [b"until", [(b"4-0", [field])], 0]

    claim = Claim.read(row)

    assert isinstance(claim.revision, int)
    assert isinstance(claim.sequence, int)
    assert claim.spoilt == "until"
