"""The RQ side: update job, worker class, snapshots, backtest and demo.

Imports ``shared`` and ``models``.
"""
