"""What `run.py` may be told, by option or by environment: the settings and a few more."""

from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from backend.errors import SettingsError
from backend.settings import Environment, Settings

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to call such a host, not what to listen on


class StackSettings(Settings):
    """The settings of a whole stack on one machine; `SANGUINE_PORT` and its like name the same as `--port`."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    flower_port: int = Field(default=5555, ge=1, le=65535)
    donors: int = Field(default=2000, ge=1, le=1_000_000)

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if "%" in str(value):
            raise ValueError("must not contain %, which supervisord's configuration expands")
        return value.expanduser().absolute()  # the processes of the stack run in another folder

    @property
    def url(self) -> str:
        """Where the API is reached from this machine."""
        host = WILDCARDS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def flower_url(self) -> str:
        """Where Flower is: on the loopback interface, whatever `host` is."""
        return f"http://127.0.0.1:{self.flower_port}"


def read_options(**given: object) -> StackSettings:
    """Join the options given on the command line with the environment and the defaults.

    Raises:
        SettingsError: a value cannot be used; the message names the option.
    """
    try:
        return StackSettings(**given)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(e["loc"], e["msg"]) for e in error.errors())) from None


def temporary_options(*, data_dir: Path, port: int, flower_port: int, donors: int) -> StackSettings:
    """Describe a stack that shares nothing with any other: SQLite and an embedded Valkey in `data_dir`."""
    return read_options(
        environment=Environment.DEVELOPMENT,
        host="127.0.0.1",
        port=port,
        flower_port=flower_port,
        donors=donors,
        data_dir=data_dir,
        database_url="",
        broker_url="",
    )


def _explain(location: tuple[int | str, ...], reason: str) -> str:
    if not location:
        return reason
    name = str(location[0])
    return f"--{name.replace('_', '-')} (SANGUINE_{name.upper()}): {reason}"
