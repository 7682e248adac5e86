"""deadlines, priorities, uniqueness, idempotency keys, dead letters, timing of jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UNFINISHED = "state IN ('queued', 'running', 'waiting')"
INDEXES = {
    "ix_job_urgent": (["queue", "available_at"], "state = 'queued' AND priority = 0"),
    "ix_job_client": (["client", "queue", "state"], UNFINISHED),
    "ix_job_start_by": (["start_by"], "state = 'queued' AND start_by IS NOT NULL"),
    "ix_job_finish_by": (["finish_by"], f"{UNFINISHED} AND finish_by IS NOT NULL"),
    "uq_job_unique_key": (["unique_key"], f"{UNFINISHED} AND unique_key IS NOT NULL"),
    "ix_job_notify": (["finished_at"], "notify IS TRUE AND finished_at IS NOT NULL"),
    "ix_job_dead": (["finished_at"], "state IN ('dead', 'failed') AND resolution IS NULL AND parent_id IS NULL"),
    "ix_job_bulk_id": (["bulk_id", "part"], "bulk_id IS NOT NULL"),
}


def job_columns() -> tuple[sa.Column, ...]:
    return (
        sa.Column("bulk_id", sa.Uuid(), nullable=True),
        sa.Column("client", sa.String(length=64), nullable=True),
        sa.Column("priority", sa.SmallInteger(), server_default="3", nullable=False),
        sa.Column("start_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finish_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unique_key", sa.String(length=64), nullable=True),
        sa.Column("first_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("model_seconds", sa.Float(), nullable=True),
        sa.Column("notify", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("callback", sa.String(length=2000), nullable=True),
        sa.Column("replay_of", sa.Uuid(), nullable=True),
        sa.Column("resolution", sa.String(length=16), nullable=True),
        sa.Column("resolution_reason", sa.String(length=500), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
    )


def upgrade() -> None:
    for column in job_columns():
        op.add_column("job", column)
    op.execute("UPDATE job SET first_started_at = started_at")
    op.drop_index("ix_job_queued", table_name="job")
    _create_index("ix_job_queued", ["kind", "priority", "available_at"], "state = 'queued'")
    for name, (columns, where) in INDEXES.items():
        _create_index(name, columns, where, unique=name.startswith("uq_"))
    op.create_table(
        "idempotency_key",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"])
    op.add_column("worker_process", sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("worker_process", "heard_at")
    op.drop_index(op.f("ix_idempotency_key_created_at"), table_name="idempotency_key")
    op.drop_table("idempotency_key")
    for name in reversed(INDEXES):
        op.drop_index(name, table_name="job")
    op.drop_index("ix_job_queued", table_name="job")
    _create_index("ix_job_queued", ["kind", "available_at"], "state = 'queued'")
    for column in reversed(job_columns()):
        op.drop_column("job", column.name)


def _create_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "job", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
