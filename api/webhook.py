"""Alerts to an address of one's own: signed, in order, and again until they arrive."""

import base64
import hashlib
import hmac
import threading
import time

import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from shared.alert import Alert
from shared.alerts import Alerts

_PREFIX = "whsec_"
_TIMEOUT_S = 10
_WAIT_S = 5.0
_OLD_MS = 3_600_000
_AGAIN = {408, 425, 429, *range(500, 600)}
# Within one try; whatever fails after that is tried again until it is old.
_RETRY = Retry(
    total=4,
    backoff_factor=1,
    backoff_jitter=1,
    status_forcelist=_AGAIN,
    respect_retry_after_header=False,  # it could hold up all alerts for hours
    allowed_methods=["POST"],
    redirect=False,
    raise_on_status=False,
)

log = structlog.get_logger(__name__)


class Webhook:
    """Posts alerts as JSON, by the Standard Webhooks specification (standardwebhooks.com).

    An alert is posted until it is taken or an hour old; it may come twice, with the same
    ``webhook-id``. A refusal (another status of 4xx, or a redirect) is final.

    Parameters
    ----------
    url
        Where to.
    secret
        ``whsec_`` and the key in base64, 24 bytes or more.
    alerts
        Where they come from.
    """

    def __init__(self, url: str, secret: str, alerts: Alerts) -> None:
        self._url = url
        self._key = base64.b64decode(secret.removeprefix(_PREFIX))
        self._alerts = alerts
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_RETRY))

    def run(self, stopped: threading.Event) -> None:
        """Deliver until it is stopped; what is not delivered by then comes at the next start."""
        while not stopped.is_set():
            try:
                with self._alerts.delivering() as is_mine:
                    self._alerts.join(anew=False)
                    while is_mine and is_mine() and not stopped.is_set() and self._deliver():
                        pass
            except Exception as error:  # noqa: BLE001 -- nobody else would tell
                log.warning("alerts_not_delivered", error=str(error))
            stopped.wait(_WAIT_S)

    def _deliver(self) -> bool:
        """Post what there is; say whether all of it was dealt with."""
        for entry_id, alert in self._alerts.undelivered():
            if not alert:
                log.error("alert_not_delivered", id=entry_id, error="it cannot be read")
            elif not self._is_dealt_with(entry_id, alert):
                return False
            self._alerts.delivered(entry_id)
        return True

    def _is_dealt_with(self, entry_id: str, alert: Alert) -> bool:
        """Post an alert; say whether it is not to be posted again."""
        facts = {"id": entry_id, "rule": alert.rule, "series": alert.series}
        if time.time_ns() // 1_000_000 - alert.at > _OLD_MS:
            log.error("alert_not_delivered", **facts, error="an hour old")
            return True
        body = alert.model_dump_json(by_alias=True)
        try:
            answer = self._session.post(
                self._url,
                data=body.encode(),
                headers={"content-type": "application/json", **self._signed(entry_id, body)},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                stream=True,  # its body is of no interest, and could go on and on
            )
            answer.close()
        except requests.RequestException as error:
            log.warning("webhook_failing", **facts, error=type(error).__name__)
            return False
        if answer.status_code in _AGAIN:
            log.warning("webhook_failing", **facts, error=answer.status_code)
            return False
        if not answer.ok or answer.is_redirect:
            log.error("alert_not_delivered", **facts, error=answer.status_code)
        return True

    def _signed(self, entry_id: str, body: str) -> dict[str, str]:
        message_id, now_s = f"alert_{entry_id}", int(time.time())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": f"v1,{signature(self._key, message_id, now_s, body)}",
        }


def signature(key: bytes, message_id: str, time_s: int, body: str) -> str:
    """Return the signature of a message: HMAC-SHA256 over id, time and body, in base64.

    >>> key = base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")
    >>> body = '{"event_type":"ping","data":{"success":true}}'  # the specification's example
    >>> signature(key, "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    'rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0='
    """
    signed = f"{message_id}.{time_s}.{body}".encode()
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
