"""The installation's one secret, and the keys that follow from it."""

import os
import secrets
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backend.errors import SettingsError
from backend.settings import Settings

FILE = "secret"


def derive(settings: Settings, purpose: str) -> bytes:
    """Return the key for a purpose, 32 bytes: HKDF-SHA256 (RFC 5869) of the installation's secret.

    Production names its secret (`SANGUINE_SECRET_KEY`); development makes one in its data folder.

    Raises:
        SettingsError: that file can be neither read nor written.
    """
    named = settings.secret_key.get_secret_value().encode()
    secret = named or _of_folder(settings.data_dir / FILE)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret)


@lru_cache(maxsize=8)
def _of_folder(path: Path) -> bytes:
    """Return the content of a file, which the first of several processes makes."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
            with suppress(FileExistsError):  # another process was first
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"the secret of this installation, {path}, cannot be used ({error.strerror})") from error
