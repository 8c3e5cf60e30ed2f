"""Settings module of rq-dashboard: ``rq-dashboard --json --config worker.dashboard``.

With ``--json`` alone, rq-dashboard 0.9 still reads the current job of a busy worker as a pickle:
its page of workers then fails, and would unpickle what Redis holds.
"""

from typing import Any

from rq import Worker
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker
from rq_dashboard import web


class JsonWorker(Worker):
    """Lists workers whose jobs are JSON."""

    @classmethod
    def all(cls, connection: Any = None, **_: Any) -> list[BaseWorker]:  # type: ignore[override]
        """Return the registered workers."""
        return Worker.all(connection=connection, serializer=JSONSerializer)


web.Worker = JsonWorker
