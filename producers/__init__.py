"""Where candles come from: exchanges, files and the simulated market.

Imports ``shared``, never ``models``.
"""
