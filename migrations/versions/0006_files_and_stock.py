"""files of jobs, parts of jobs, external ids, holds, stock"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blood_bank",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("external_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("district", sa.String(length=40), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=False),
        sa.Column("longitude", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blood_bank")),
        sa.UniqueConstraint("external_id", name=op.f("uq_blood_bank_external_id")),
    )
    op.create_table(
        "blood_unit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("external_id", sa.String(length=64), nullable=False),
        sa.Column("bank_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("blood_group", sa.String(length=3), nullable=False),
        sa.Column("product", sa.String(length=32), nullable=False),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["bank_id"], ["blood_bank.id"], name=op.f("fk_blood_unit_bank_id_blood_bank"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blood_unit")),
        sa.UniqueConstraint("external_id", name=op.f("uq_blood_unit_external_id")),
    )
    op.create_index(op.f("ix_blood_unit_bank_id"), "blood_unit", ["bank_id"])
    op.create_index("ix_blood_unit_state_expires_at", "blood_unit", ["state", "expires_at"])

    op.create_table(
        "donor_hold",
        sa.Column(
            "donor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["donor_id"], ["donor.id"], name=op.f("fk_donor_hold_donor_id_donor"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["blood_request.id"],
            name=op.f("fk_donor_hold_request_id_blood_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("donor_id", name=op.f("pk_donor_hold")),
    )
    op.create_index(op.f("ix_donor_hold_request_id"), "donor_hold", ["request_id"])

    op.create_table(
        "job_file",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_file_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "role", name=op.f("pk_job_file")),
    )
    op.create_table(
        "stock_alert",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("district", sa.String(length=40), nullable=False),
        sa.Column("bank_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("blood_group", sa.String(length=3), nullable=False),
        sa.Column("component", sa.String(length=16), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("days_of_cover", sa.Float(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["bank_id"], ["blood_bank.id"], name=op.f("fk_stock_alert_bank_id_blood_bank"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_alert")),
    )
    op.create_index("ix_stock_alert_closed_at_opened_at", "stock_alert", ["closed_at", "opened_at"])

    op.add_column("blood_request", sa.Column("external_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_blood_request_external_id"), "blood_request", ["external_id"], unique=True)

    op.drop_index(op.f("ix_contact_outcome_request_id"), table_name="contact_outcome")
    op.create_index(
        "ix_contact_outcome_request_id_donor_id", "contact_outcome", ["request_id", "donor_id"], unique=True
    )

    op.add_column("donation", sa.Column("external_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_donation_external_id"), "donation", ["external_id"], unique=True)

    op.add_column("donor", sa.Column("external_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_donor_external_id"), "donor", ["external_id"], unique=True)

    op.add_column("job", sa.Column("parent_id", sa.Uuid(), nullable=True))
    op.add_column("job", sa.Column("part", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("parts_at_once", sa.Integer(), nullable=True))
    op.create_index(
        "ix_job_parent_id",
        "job",
        ["parent_id", "part"],
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "ix_job_waiting",
        "job",
        ["id"],
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    op.drop_index("ix_job_waiting", table_name="job")
    op.drop_index("ix_job_parent_id", table_name="job")
    op.drop_column("job", "parts_at_once")
    op.drop_column("job", "part")
    op.drop_column("job", "parent_id")

    op.drop_index(op.f("ix_donor_external_id"), table_name="donor")
    op.drop_column("donor", "external_id")

    op.drop_index(op.f("ix_donation_external_id"), table_name="donation")
    op.drop_column("donation", "external_id")

    op.drop_index("ix_contact_outcome_request_id_donor_id", table_name="contact_outcome")
    op.create_index(op.f("ix_contact_outcome_request_id"), "contact_outcome", ["request_id"])

    op.drop_index(op.f("ix_blood_request_external_id"), table_name="blood_request")
    op.drop_column("blood_request", "external_id")

    op.drop_index("ix_stock_alert_closed_at_opened_at", table_name="stock_alert")

    op.drop_table("stock_alert")
    op.drop_table("job_file")
    op.drop_index(op.f("ix_donor_hold_request_id"), table_name="donor_hold")

    op.drop_table("donor_hold")
    op.drop_index("ix_blood_unit_state_expires_at", table_name="blood_unit")
    op.drop_index(op.f("ix_blood_unit_bank_id"), table_name="blood_unit")

    op.drop_table("blood_unit")
    op.drop_table("blood_bank")
