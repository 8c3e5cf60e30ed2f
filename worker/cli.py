"""Commands of the RQ side."""

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


class QueueName(StrEnum):
    """The two queues; a worker works one of them."""

    candles = "candles"
    housekeeping = "housekeeping"


@app.command()
def worker(
    processes: Annotated[int, typer.Option(min=1, help="Worker processes to keep alive.")] = 1,
    queue: Annotated[QueueName, typer.Option(help="The one queue they work.")] = QueueName.candles,
    burst: Annotated[bool, typer.Option("--burst", help="End when the queue is empty.")] = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Take the field from workers of another model at once."),
    ] = False,
) -> None:
    """Learn candles and publish forecasts, or keep house.

    Example: candlecast worker --processes 2
    """
    import os

    from rq.serializers import JSONSerializer

    from shared.store import Store
    from worker import jobs
    from worker.candle_worker import CandleWorker
    from worker.supervisor import Supervisor

    settings = jobs.configured()
    # Tried here once, so that a wrong setting is one line and not N restarts.
    jobs.model()
    store = Store.connect(settings.redis_url, prefix=settings.prefix)
    store.link.redis.close()
    supervisor_pid = os.getpid()

    def run(first: bool) -> None:
        jobs.preload(queue.value)
        rq_worker = CandleWorker(
            [store.keys.queue(queue.value)],
            connection=jobs.rq_connection(),
            serializer=JSONSerializer,
        )
        rq_worker.supervisor_pid = supervisor_pid
        rq_worker.take_over = take_over and first
        rq_worker.log_result_lifespan = False
        rq_worker.work(burst=burst, logging_level="WARNING")
        # RQ also ends its loop on errors: only a burst ends by itself without one.
        if rq_worker.failed_job_count:
            raise SystemExit(1)

    supervisor = Supervisor(run, processes, burst=burst)
    supervisor.supervise()
    raise typer.Exit(1 if burst and supervisor.failed else 0)


@app.command()
def snapshot() -> None:
    """Put every model that moved into MLflow now.

    Example: candlecast snapshot
    """
    from worker import jobs

    report = jobs.snapshot_moved(wait_s=60)
    if "skipped" in report:
        typer.echo(f"nothing done: {report['skipped']}", err=True)
        raise typer.Exit(1)
    for series, version in report["written"].items():
        typer.echo(f"{series}: version {version}")
    for series, error in report["failed"].items():
        typer.echo(f"{series}: FAILED: {error}", err=True)
    typer.echo(
        f"{len(report['written'])} written, {len(report['failed'])} failed, {report['left']} left"
    )
    raise typer.Exit(1 if report["failed"] else 0)
