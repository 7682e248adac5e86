"""The configuration: one typed class, the only reader of the environment (`SANGUINE_…`)."""

import re
import secrets
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent


def check_timezone(name: str) -> str:
    """Return the name of a time zone that exists.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a folder of zones, such as "America"
        raise ValueError("unknown time zone; use an IANA name such as Asia/Kolkata") from error
    return name


class Environment(StrEnum):
    """Where the process runs."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Everything an installation may set; the defaults run a development machine without any."""

    model_config = SettingsConfigDict(env_prefix="SANGUINE_", env_file=".env", extra="ignore", frozen=True)

    environment: Environment = Environment.DEVELOPMENT
    secret_key: SecretStr = SecretStr("")
    """What every key of the installation follows from; development makes one in `data_dir`."""
    data_dir: Path = PROJECT / "var"
    database_url: str = ""
    """SQLAlchemy URL; empty means SQLite in `data_dir`."""
    broker_url: str = ""
    """Celery broker URL; empty means the embedded Valkey's Unix socket in `data_dir`."""
    models_dir: Path = PROJECT / "models_artifacts"
    timezone: str = "Asia/Kolkata"
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    model_threads: int = Field(default=1, ge=1, le=64)
    """Threads one prediction may use; workers bring their own concurrency."""
    model_store: str = ""
    """Where registered model versions are kept: a folder, or a bucket such as s3://models/sanguine; empty means a
    folder in `data_dir`."""
    model_keys_dir: Path | None = None
    """Public keys (*.pem) of those who sign model versions."""
    require_signed_models: bool = False
    """Whether a version that none of these keys signed is refused."""
    allow_executable_models: bool = False
    """Whether formats that execute code when they are read (joblib, pickle) are loaded if one of these keys signed."""
    two_person_promotion: bool = True
    """Whether somebody else than who registered a version must promote it to production."""
    model_memory_mb: int | None = Field(default=None, ge=1)
    """What all models of one process may take together; a promotion that would need more is refused."""
    max_model_bytes: int = Field(default=2 << 30, ge=1_000)
    """How large the files of one model version may be."""
    lease_seconds: float = Field(default=30.0, gt=0.2)
    """How long a running job stays claimed after its worker's last heartbeat."""
    reconcile_seconds: float = Field(default=5.0, gt=0.0)
    """How often lost rings and lost leases are looked for."""
    max_queued: int = Field(default=100_000, ge=1)
    """How many jobs of a queue may wait; more are refused with 503 until fewer do."""
    client_jobs: int = Field(default=20_000, ge=1)
    """How many unfinished jobs one client may have; more are refused with 429."""
    client_rate: str = ""
    """How many jobs one client may submit, such as 600/minute; empty means any number."""
    request_rate: str | None = None
    """How many requests one caller may send to one route, such as 600/minute; empty means any number. By default
    production lets in 6000/minute."""
    retention_days: int = Field(default=365, ge=1)
    """How old finished jobs, predictions and other history get before the cleanup archives and deletes them."""
    file_days: int = Field(default=7, ge=1)
    """How long results and lists of errors can be downloaded."""
    webhook_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Private networks that webhooks may call, such as 10.20.0.0/16,fd00:20::/64; on any port, and without TLS too."""
    max_upload_bytes: int = Field(default=1 << 30, ge=1_000)
    max_body_bytes: int = Field(default=1_000_000, ge=1_000)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return check_timezone(value)

    @field_validator("client_rate", "request_rate")
    @classmethod
    def _readable_rate(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour)", value):
            raise ValueError("write a number per second, minute or hour, such as 600/minute")
        return value

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        except ValueError as error:
            raise ValueError("write networks such as 10.20.0.0/16, separated by commas") from error

    @model_validator(mode="after")
    def _production_is_explicit(self) -> Self:
        if self.environment is Environment.DEVELOPMENT:
            return self
        if len(self.secret_key.get_secret_value()) < 32:
            example = secrets.token_urlsafe(32)
            raise ValueError(f"SANGUINE_SECRET_KEY must be set to 32 characters or more, for example {example}")
        if not self.database_url.startswith("postgresql"):
            raise ValueError("SANGUINE_DATABASE_URL must name a PostgreSQL database in production")
        if not self.broker_url:
            raise ValueError("SANGUINE_BROKER_URL must name a Redis or Valkey server in production")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        """The database in use, `postgresql://` meaning psycopg 3."""
        return self.database_url or f"sqlite:///{self.data_dir / 'sanguine.sqlite'}"

    @property
    def most_requests(self) -> str:
        """The request rate in use."""
        if self.request_rate is not None:
            return self.request_rate
        # 100 a second: more than honest work needs (one request predicts 10,000 rows), and a fraction of what an API
        # process answers, so that a client in a loop leaves room for the others.
        return "6000/minute" if self.environment is Environment.PRODUCTION else ""

    @property
    def celery_broker_url(self) -> str:
        """The broker in use."""
        return self.broker_url or f"redis+socket://{self.data_dir / 'valkey.sock'}?virtual_host=0"


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read the environment once per process.

    Raises:
        SettingsError: a value cannot be used; the message names the variable and never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        reasons = "; ".join(
            f"SANGUINE_{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg']}" if e["loc"] else e["msg"]
            for e in error.errors()
        )
        raise SettingsError(f"cannot start: {reasons}") from None
