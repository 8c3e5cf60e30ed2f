"""Worlds small enough to be searched whole, and which guard is taken out in which of them."""

from functools import cache
from typing import Any

from tests.protocol.rules import Rules
from tests.protocol.search import Result, search
from tests.protocol.world import Config, Faults

_TWO: dict[str, Any] = {"sources": ((1, 2),), "producers": ((0, (1, 2)),)}
_FOUR: dict[str, Any] = {"sources": ((1, 2, 3, 4),), "producers": ((0, (1, 2, 3, 4)),), "batch": 4}
_RACING: dict[str, Any] = {"sources": ((1, 2),), "producers": ((0, (1, 2)), (0, (1, 102)))}
_NEIGHBOURS: dict[str, Any] = {"sources": ((1,), (2,)), "producers": ((0, (1,)), (1, (2,)))}
_SECOND, _FIRST = frozenset({2}), frozenset({1})

CONFIGURATIONS = {
    "workers": Config(faults=Faults(crash=1, queue=1, double=1)),
    "disconnected": Config(**_TWO, killers=_SECOND, faults=Faults(crash=1, disconnect=2)),
    "producers": Config(
        producers=((0, (1, 2, 3)), (0, (1, 102, 3))),
        workers=1,
        faults=Faults(producer_crash=1, torn=1),
        rules=Rules(max_waiting=2),
    ),
    "restore": Config(**_TWO, faults=Faults(restore=1, snapshot=1), rules=Rules(retention=2)),
    "two restores": Config(
        workers=1, faults=Faults(restore=2, snapshot=1), rules=Rules(retention=1)
    ),
    "spoilt state": Config(**_TWO, faults=Faults(lost_state=1, crash=1), rules=Rules(retention=1)),
    "failover": Config(**_TWO, batch=1, faults=Faults(failover=1)),
    "failover, two producers": Config(**_RACING, workers=1, batch=1, faults=Faults(failover=1)),
    "failover and a hole": Config(
        sources=((1, 2, 4),),
        producers=((0, (1, 2, 4)),),
        workers=1,
        batch=1,
        faults=Faults(failover=1),
    ),
    "kept": Config(**_FOUR, faults=Faults(crash=1), rules=Rules(retention=1, state_every=8)),
    "kept and a raiser": Config(
        raisers=_SECOND, faults=Faults(crash=1), rules=Rules(state_every=8)
    ),
    "kept and a restore": Config(
        workers=1, faults=Faults(restore=1, snapshot=1), rules=Rules(state_every=8)
    ),
    "kept and failover": Config(
        **_TWO, batch=1, faults=Faults(failover=1), rules=Rules(state_every=8)
    ),
    "clock": Config(**_TWO, faults=Faults(clock=1, queue=1)),
    "killer": Config(**_TWO, killers=_SECOND, faults=Faults(crash=1)),
    "killer and restore": Config(
        **_TWO, killers=_SECOND, workers=1, faults=Faults(restore=1, snapshot=1)
    ),
    "killer and neighbour": Config(
        **_NEIGHBOURS, killers=_FIRST, workers=1, faults=Faults(crash=1, disconnect=1)
    ),
    "pause and retirement": Config(**_TWO, faults=Faults(pause=1, retire=1)),
    "retirement and rebuild": Config(**_TWO, faults=Faults(retire=1, restore=1)),
    "raiser": Config(raisers=_SECOND, faults=Faults(crash=1)),
    "four kills": Config(**_TWO, batch=1, faults=Faults(crash=4)),
    "four kills, two series": Config(**_NEIGHBOURS, workers=1, faults=Faults(crash=4)),
}

LARGER = {
    "failover of three candles": Config(faults=Faults(failover=1)),
    "two failovers and kills": Config(**_TWO, workers=1, faults=Faults(failover=2, crash=2)),
    "killer and failover": Config(
        **_TWO, killers=_SECOND, workers=1, faults=Faults(failover=1, crash=1)
    ),
    "two killers": Config(killers=frozenset({1, 3}), faults=Faults(crash=1)),
    "raiser, spoilt state and restore": Config(
        **_TWO, raisers=_FIRST, faults=Faults(lost_state=1, restore=1, snapshot=1, crash=1)
    ),
    "spoilt state and restores": Config(
        **_TWO, faults=Faults(lost_state=1, restore=2, snapshot=1), rules=Rules(retention=1)
    ),
    "full log": Config(
        faults=Faults(torn=1, crash=1, producer_crash=1), rules=Rules(max_waiting=1)
    ),
    "two series": Config(
        sources=((1, 2), (1,)), producers=((0, (1, 2)), (1, (1,))), faults=Faults(crash=1)
    ),
    "two series, one a claim": Config(
        sources=((1, 2), (1,)),
        producers=((0, (1, 2)), (1, (1,))),
        faults=Faults(crash=1),
        rules=Rules(claim_series=1),
    ),
}

GUARDS = {
    "mark before candle": "producers",
    "full answer": "producers",
    "gap answer": "failover",
    "gap answer on an empty log": "failover",
    "the candle before is compared": "failover and a hole",
    "append leaves a mark as it is": "four kills",
    "ring less what waits": "workers",
    "tick rings": "workers",
    "tick clamps scores": "clock",
    "the tick's guard survives no clock step": "clock",
    "lease": "workers",
    "mark kept while candles wait": "workers",
    "a mark without candles goes": "two restores",
    "suspects": "killer",
    "suspects are claimed alone": "killer and neighbour",
    "suspects one candle at a time": "killer",
    "a suspect's count starts at zero": "killer",
    "commit clears attempts": "workers",
    "release clears attempts": "four kills, two series",
    "restore clears attempts and suspect": "killer and restore",
    "a paused series is passed over": "pause and retirement",
    "resume marks the series": "pause and retirement",
    "token": "workers",
    "new token at each commit": "workers",
    "new token at a restore": "restore",
    "rebuild asks for the token": "spoilt state",
    "slice": "failover",
    "published never goes back": "restore",
    "retention spares the unlearned": "two restores",
    "retention spares what the state lacks": "kept",
    "a burial is written": "kept and a raiser",
    "what is kept asks for the token": "kept and a restore",
    "restore says where its state stands": "kept and a restore",
    "restore asks for the series": "retirement and rebuild",
    "no hole at a restore": "two restores",
    "restore marks the series": "two restores",
    "restore counts what is learned again": "two restores",
    "restore counts what it skips": "two restores",
}
"""Each guard with the configuration in which its loss breaks an invariant."""

COSTS = {
    "due after a partial commit": "workers",
    "release asks for the token": "disconnected",
}
"""Guards whose loss breaks no invariant: they save time."""

LIMITS = {
    "five hits of one candle": (
        Config(**_TWO, workers=1, faults=Faults(crash=5), excuses=False),
        "no innocent candle is buried",
    ),
    "a snapshot of what Redis has forgotten": (
        Config(**_RACING, workers=1, batch=1, faults=Faults(failover=1, restore=1, snapshot=1)),
        "learned is the log in order, each candle once",
    ),
    "a restore after a failover publishes nothing": (
        Config(**_TWO, workers=1, faults=Faults(failover=1, restore=1, snapshot=1)),
        "the end can be reached",
    ),
}
"""What is not promised, each with the invariant that it breaks."""


@cache
def without(guard: str) -> Result:
    """Search a guard's configuration without it."""
    return search(CONFIGURATIONS[(GUARDS | COSTS)[guard]], frozenset({guard}))


@cache
def limit(name: str) -> Result:
    """Search a configuration that is known to go too far."""
    return search(LIMITS[name][0])
