"""forecasts found by their run, with the names of several methods"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("demand_forecast", schema=None) as batch_op:
        batch_op.alter_column("model", existing_type=sa.String(length=64), type_=sa.String(length=200))
        batch_op.create_index(batch_op.f("ix_demand_forecast_made_at"), ["made_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("demand_forecast", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_demand_forecast_made_at"))
        batch_op.alter_column("model", existing_type=sa.String(length=200), type_=sa.String(length=64))
