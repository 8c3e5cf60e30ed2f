"""Measurements: each module is a command."""

import models  # noqa: F401 -- before NumPy, which it keeps to one thread
