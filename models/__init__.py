"""Pure online estimators with River's conventions: no Redis, MLflow, clock or logging.

Imports the pure files of ``shared``. Arrays are so small here that calls cost more than sums: in
the path of a candle stand ``dot``, ``vecdot`` and ``take`` where ``@``, ``einsum`` and an index
would cost twice as much.
"""

import os

# Threads add numbers up in another order: one thread keeps models bit-identical. NumPy reads this
# when it is first imported: where that has happened, these lines change nothing for this process
# (though for those it starts), and what was set before stays; then set them in the environment.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
