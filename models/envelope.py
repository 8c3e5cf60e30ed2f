"""What is around a state: its header, and the signature on it."""

import hashlib
import json
from functools import cache

import numpy as np
from river.__version__ import __version__ as river_version

from models import catalog
from models.signer import Signer
from shared.errors import OtherModel, StateError
from shared.header import LENGTH, MAGIC, START, split

FORMAT = 6
"""Version of the bytes; part of the fingerprint."""

VERSIONS = {"numpy": np.__version__, "river": river_version}


@cache
def fingerprint(model: str, horizon: int) -> str:
    """Return 16 hex digits that name what a state belongs to.

    Model name and version, its parameters, the horizon, the hash of the shipped constants and the
    format of the state; neither the release of the code nor the versions of the libraries.
    """
    speaker, challenger = catalog.roles(model)
    entry = catalog.model(speaker)
    facts = [speaker, entry.version, dict(entry.parameters), horizon, entry.constants, FORMAT]
    facts += [fingerprint(challenger, horizon)] if challenger else []
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _facts(fingerprint: str, key_id: str) -> str:
    """Return what the headers of many series have in common: JSON but for its last brace."""
    facts = {"format": FORMAT, "fingerprint": fingerprint, "key": key_id, "libraries": VERSIONS}
    return json.dumps(facts)[:-1]


def header(fingerprint: str, key_id: str, series: str) -> bytes:
    """Return what stands before the learner."""
    facts = f'{_facts(fingerprint, key_id)}, "series": {json.dumps(series)}}}'.encode()
    return LENGTH.pack(len(facts)) + facts


def verified(raw: bytes, signer: Signer) -> bytes:
    """Return what is signed, if one of ours has signed it."""
    signature, content = raw[len(MAGIC) : START], raw[START:]
    if not raw.startswith(MAGIC):
        raise StateError(f"not a saved state: it begins with {raw[:8]!r}")
    if not signer.knows(content, signature):
        raise signer.refusal(content)
    return content


def inside(content: bytes, signer: Signer, fingerprint: str | None, series: str) -> bytes:
    """Return the pickle behind the header, if that names what is wanted."""
    # As a rule it was written just like this; then it need not be read.
    usual = header(fingerprint or "", signer.key_id, series)
    if content.startswith(usual):
        return content[len(usual) :]
    facts, body = split(content)
    wanted = {"format": FORMAT, "fingerprint": fingerprint, "series": series}
    for name, value in wanted.items():
        if value is not None and facts.get(name) != value:
            kind = OtherModel if name == "fingerprint" else StateError
            raise kind(f"state of {name} {facts.get(name)}, wanted {value}")
    return body
