"""What can be allowed, and which role allows it; an API key may allow less than its account's role."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What somebody may do. Every route asks for one."""

    PREDICT = "predict"  # ask models and submit jobs; see and cancel one's own
    SEE_ALL_JOBS = "see_all_jobs"  # the jobs, results and files of everybody
    READ_RECORDS = "read_records"  # donors, patients, and what was predicted of them
    WRITE_RECORDS = "write_records"  # add, change and import them
    READ_FIGURES = "read_figures"  # forecasts, stock, drift: nobody can be told from them
    READ_MODELS = "read_models"  # versions, the ledger, who serves what
    MANAGE_MODELS = "manage_models"  # register, promote, reload
    OPERATE = "operate"  # schedules, dead letters, the health of the parts
    NOTIFY = "notify"  # webhooks for one's own jobs
    MANAGE_ACCOUNTS = "manage_accounts"  # accounts, roles, keys
    READ_AUDIT = "read_audit"  # who did what


class Role(StrEnum):
    """What an account is there for."""

    ADMIN = "admin"
    CLINICIAN = "clinician"
    SERVICE = "service"
    AUDITOR = "auditor"
    VIEWER = "viewer"


_READS: Final = frozenset({Permission.READ_FIGURES, Permission.READ_MODELS})
_CARES: Final = _READS | {Permission.PREDICT, Permission.READ_RECORDS, Permission.WRITE_RECORDS}

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.ADMIN: frozenset(Permission),
    Role.CLINICIAN: _CARES,
    Role.SERVICE: _CARES | {Permission.NOTIFY},
    Role.AUDITOR: frozenset({Permission.READ_AUDIT, Permission.READ_MODELS}),
    Role.VIEWER: _READS,
}
