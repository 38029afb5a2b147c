"""What a run erases or balances beside what it excludes; the runs there are do neither."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """One column more."""
    op.add_column("audit_run", sa.Column("treatment", sa.JSON, nullable=False, server_default="{}"))
