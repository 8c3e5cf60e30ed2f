"""What producers, workers and readers agree on: values, wire format, keys, store and reader.

Imports nothing of ours. All but ``store`` and ``reader`` are pure: no Redis, no clock, no logging.
"""
