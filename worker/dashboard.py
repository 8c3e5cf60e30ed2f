"""Settings module of rq-dashboard: ``rq-dashboard --json --config worker.dashboard``.

With ``--json`` alone, rq-dashboard 0.9 still reads much with RQ's default, which unpickles what
Redis holds: the current job of a busy worker, a job's own page, a job to be deleted or requeued.
"""

from rq import serializers

serializers.PickleSerializer = serializers.JSONSerializer  # type: ignore[assignment]
