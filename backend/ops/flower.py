"""Who may look at Flower: one user, with a password made once for each data folder."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from backend.errors import SettingsError
from backend.settings import Environment, Settings

USER = "admin"
PASSWORD_FILE = "flower-password"  # noqa: S105 - a file's name
VARIABLE = "FLOWER_BASIC_AUTH"  # Flower's own


def login(settings: Settings) -> str:
    """Return `user:password` for a Flower that was not told any.

    Raises:
        SettingsError: in production, where nobody would see a password that was made up.
    """
    if settings.environment is Environment.PRODUCTION:
        raise SettingsError(f"{VARIABLE} must be set in production, as user:password")
    return f"{USER}:{_password(settings.data_dir / PASSWORD_FILE)}"


def _password(file: Path) -> str:
    """Return the password in `file`, which only this user can read; make both when there is none."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(prefix=f".{PASSWORD_FILE}-", dir=file.parent)  # mode 0600
        with os.fdopen(handle, "w") as writing:
            writing.write(secrets.token_urlsafe(24) + "\n")
        with suppress(FileExistsError):  # another process was faster: its password counts
            os.link(made, file)
        Path(made).unlink()
    return file.read_text().strip()
