"""Every Redis key, queue name and job path, only here."""

from dataclasses import dataclass

CANDLES_QUEUE = "candles"
HOUSEKEEPING_QUEUE = "housekeeping"
# Stored in Redis by RQ while jobs are in flight: renaming one is a breaking change.
UPDATE_JOB = "worker.jobs.update_pending"
SNAPSHOT_JOB = "worker.jobs.snapshot_moved"
DEFAULT_PREFIX = "candlecast:"
RQ_SUSPENDED = "rq:suspended"
"""There while `rq suspend` is in force, for all workers in this database."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys under one prefix; ``series`` is ``exchange:symbol:timeframe``."""

    prefix: str = DEFAULT_PREFIX

    def candles(self, series: str) -> str:
        """Stream of the series' candles, id ``<open_time_ms>-0``."""
        return f"{self.prefix}candles:{series}"

    def forecast(self, series: str) -> str:
        """String: the newest forecast as JSON."""
        return f"{self.prefix}forecast:{series}"

    def forecasts(self, series: str) -> str:
        """Capped stream of what was forecast when."""
        return f"{self.prefix}forecasts:{series}"

    def forecast_channel(self, series: str) -> str:
        """Pub/sub channel of the same JSON."""
        return f"{self.prefix}forecast-channel:{series}"

    def model(self, series: str) -> str:
        """Hash: cursor, etag, state and counters."""
        return f"{self.prefix}model:{series}"

    @property
    def series(self) -> str:
        """Set of the known series."""
        return f"{self.prefix}series"

    @property
    def pending(self) -> str:
        """Sorted set: series, scored by the millisecond from which they may be claimed."""
        return f"{self.prefix}pending"

    @property
    def fleet(self) -> str:
        """String with a short life: the fingerprint and signing key the workers share."""
        return f"{self.prefix}fleet"

    @property
    def heir(self) -> str:
        """Hash with a short life: the fleet that prepares to hold the field next, and how far."""
        return f"{self.prefix}heir"

    @property
    def relieved(self) -> str:
        """String with a short life: the fleet that held the field before."""
        return f"{self.prefix}relieved"

    def standby(self, series: str) -> str:
        """Hash: a state of the model that does not hold the field, but will, or did before."""
        return f"{self.prefix}standby:{series}"

    @property
    def dead_letters(self) -> str:
        """Capped stream of refused and unlearnable candles with their reasons."""
        return f"{self.prefix}dead-letters"

    @property
    def events(self) -> str:
        """Capped stream of what was done to models: restored, rolled back, warm-started."""
        return f"{self.prefix}events"

    @property
    def totals(self) -> str:
        """Hash: what has been counted of all series together."""
        return f"{self.prefix}totals"

    @property
    def alerts(self) -> str:
        """Capped stream of the alerts that were raised and cleared."""
        return f"{self.prefix}alerts"

    @property
    def alerts_raised(self) -> str:
        """Hash: the alerts that are raised now."""
        return f"{self.prefix}alerts-raised"

    @property
    def alerts_judge(self) -> str:
        """Guard: one process at a time judges the rules of alerts."""
        return f"{self.prefix}alerts-judge"

    @property
    def alerts_webhook(self) -> str:
        """Guard: one process at a time posts alerts."""
        return f"{self.prefix}alerts-webhook"

    @property
    def tick(self) -> str:
        """Guard: one tick of the fleet at a time."""
        return f"{self.prefix}tick"

    @property
    def housekeeping(self) -> str:
        """Guard: exists until the next housekeeping is due."""
        return f"{self.prefix}housekeeping"

    @property
    def rounds(self) -> str:
        """Hash: how the rounds of snapshots go."""
        return f"{self.prefix}rounds"

    @property
    def producers(self) -> str:
        """Hash: how each live producer is doing."""
        return f"{self.prefix}producers"

    @property
    def drawn(self) -> str:
        """Hash: when pictures of each series were drawn last."""
        return f"{self.prefix}drawn"

    @property
    def snapshot_lock(self) -> str:
        """Guard: one round of snapshots at a time."""
        return f"{self.prefix}snapshot-lock"

    @property
    def of_scripts(self) -> list[str]:
        """KEYS of every script, in the order of prelude.lua; it adds the series to some."""
        return [
            *(self.pending, self.rq_queue(CANDLES_QUEUE), self.series, self.dead_letters),
            *(self.candles(""), self.model(""), self.forecast(""), self.forecasts("")),
            *(self.forecast_channel(""), self.fleet, self.tick, self.housekeeping),
            *(self.rq_queue(HOUSEKEEPING_QUEUE), self.events, self.totals),
            *(self.heir, self.standby(""), self.relieved),
        ]

    def queue(self, name: str) -> str:
        """RQ's name of a queue; other prefixes have queues of their own."""
        return name if self.prefix == DEFAULT_PREFIX else f"{self.prefix}{name}"

    @property
    def candles_queue(self) -> str:
        """RQ's name of the queue whose workers learn."""
        return self.queue(CANDLES_QUEUE)

    def rq_queue(self, name: str) -> str:
        """RQ's own list of a queue's job ids; its length is what `ring` is measured against."""
        return f"rq:queue:{self.queue(name)}"

    def rq_workers(self, name: str) -> str:
        """RQ's own set of the workers of a queue."""
        return f"rq:workers:{self.queue(name)}"

    def rq_failed(self, name: str) -> str:
        """RQ's own sorted set of a queue's failed jobs."""
        return f"rq:failed:{self.queue(name)}"
