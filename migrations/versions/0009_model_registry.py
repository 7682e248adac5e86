"""model versions, aliases, the ledger of decisions, and what each process serves"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "model_version",
        sa.Column("id", BigId, nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("shipped", sa.Boolean(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("signed_by", sa.String(length=16), nullable=True),
        sa.Column("source", sa.String(length=500), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("registered_by", sa.String(length=200), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("memory_bytes", BigId, nullable=True),
        sa.Column("load_seconds", sa.Double(), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("model", "manifest_sha256", name=op.f("uq_model_version_model_manifest_sha256")),
    )
    op.create_index(op.f("ix_model_version_model_version"), "model_version", ["model", "version"])
    op.create_table(
        "model_alias",
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=16), nullable=False),
        sa.Column("version_id", BigId, nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moving_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("model", "alias", name=op.f("pk_model_alias")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_version.id"], name=op.f("fk_model_alias_version_id_model_version")
        ),
    )
    op.create_table(
        "model_ledger",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=16), nullable=True),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("registered_by", sa.String(length=200), nullable=True),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_model_ledger")),
    )
    op.create_index(op.f("ix_model_ledger_model"), "model_ledger", ["model"])
    op.create_table(
        "model_process",
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("error", sa.String(length=2000), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("process", "model", name=op.f("pk_model_process")),
    )
    op.create_index(op.f("ix_model_process_seen_at"), "model_process", ["seen_at"])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


# The ledger is written once: whoever wants to change it has to take the triggers away first, and the hashes still tell.
FINAL = "entries of model_ledger are never changed"
APPEND_ONLY = {
    "sqlite": tuple(
        f"CREATE TRIGGER model_ledger_no_{name} BEFORE {action} BEGIN SELECT RAISE(ABORT, '{FINAL}'); END"
        for name, action in (
            ("update", "UPDATE ON model_ledger"),
            ("delete", "DELETE ON model_ledger"),
            # REPLACE deletes without asking the trigger for that
            ("replace", "INSERT ON model_ledger WHEN EXISTS (SELECT 1 FROM model_ledger WHERE seq = NEW.seq)"),
        )
    ),
    "postgresql": (
        f"""CREATE FUNCTION model_ledger_is_final() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION '{FINAL}'; END $$""",
        """CREATE TRIGGER model_ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON model_ledger
        FOR EACH STATEMENT EXECUTE FUNCTION model_ledger_is_final()""",
    ),
}


def downgrade() -> None:
    op.drop_table("model_process")
    op.drop_table("model_ledger")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION model_ledger_is_final()")
    op.drop_table("model_alias")
    op.drop_table("model_version")
