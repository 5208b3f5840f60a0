"""Why a sweep failed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("sweeps", sa.Column("error", sa.Text, nullable=True))


def downgrade() -> None:
    """Drops the column."""
    op.drop_column("sweeps", "error")
