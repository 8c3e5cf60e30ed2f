"""Names that outlive a release: jobs in flight carry them in Redis."""

from rq.utils import import_attribute

from shared import keys


def test_job_paths_are_fixed() -> None:
    """A renamed job would strand those in flight: changing these is a decision of its own."""
    assert keys.UPDATE_JOB == "worker.jobs.update_pending"
    assert keys.SNAPSHOT_JOB == "worker.jobs.snapshot_moved"


def test_job_paths_lead_to_functions() -> None:
    """RQ finds a callable under each path, the way it looks it up itself."""
    jobs = [import_attribute(path) for path in (keys.UPDATE_JOB, keys.SNAPSHOT_JOB)]

    assert [job.__name__ for job in jobs] == ["update_pending", "snapshot_moved"]
