"""The store's revision, counted where measurements and timings are stored."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table and counts what is there."""
    op.create_table(
        "revisions",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.execute(
        "insert into revisions (name, number) select 'evidence',"
        " (select count(*) from measurements) + (select count(*) from device_timings)"
    )


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("revisions")
