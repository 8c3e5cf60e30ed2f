"""Settings as text, without their secrets."""

import json
import re
from collections.abc import Iterator

from config.settings import Settings
from config.spelling import spelled

_PASSWORD = re.compile(r"(://[^:@/]*:)[^@]*(@)|(password=)[^&]*()")
SECRETS = {
    *("redis_url", "state_key", "state_key_previous", "exchanges", "mlflow_tracking_uri"),
    *("alerts_webhook", "alerts_secret"),
}


def shown(settings: Settings) -> Iterator[str]:
    """Yield each setting as a line of a ``.env`` file, with keys and passwords masked."""
    for name, value in settings:
        text = "" if value is None else str(value)
        if isinstance(value, dict):
            text = ",".join(f"{key}={spelled(one)}" for key, one in value.items())
        if isinstance(value, list):
            text = json.dumps(value)
        if isinstance(value, tuple):
            text = ",".join(value)
        if name in SECRETS and text:
            has_address = "://" in text and not isinstance(value, dict)
            text = _PASSWORD.sub(r"\1\3********\2\4", text) if has_address else "********"
        yield f"CANDLECAST_{name.upper()}={text}"
