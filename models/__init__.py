"""Pure online estimators with River's conventions: no Redis, MLflow, clock or logging.

Imports the pure files of ``shared``.
"""

import os

# Threads add numbers up in another order: one thread keeps models bit-identical.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
