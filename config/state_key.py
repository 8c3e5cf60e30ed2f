"""The key that signs states in development, made once."""

import os
import secrets
from pathlib import Path


def development_key(folder: Path) -> bytes:
    """Read the key file, or make it: linking is atomic, so that of two makers one wins."""
    path = folder / "state.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"state.key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip().encode()
