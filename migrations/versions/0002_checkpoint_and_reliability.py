"""checkpoints of long jobs, and the reliability of donors"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("checkpoint", sa.JSON(none_as_null=True), nullable=True))

    op.create_table(
        "donor_reliability",
        sa.Column(
            "donor_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("lower_10", sa.Float(), nullable=False),
        sa.Column("n", sa.Float(), nullable=False),
        sa.Column("commitments", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["donor_id"], ["donor.id"], name=op.f("fk_donor_reliability_donor_id_donor"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("donor_id", name=op.f("pk_donor_reliability")),
    )


def downgrade() -> None:
    op.drop_table("donor_reliability")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_column("checkpoint")
