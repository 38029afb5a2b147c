"""Who may open a session beside its owner, where people sign in; the sessions there are are shared with nobody."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """A column more of a session."""
    op.add_column("audit_session", sa.Column("shared", sa.JSON, nullable=False, server_default="[]"))
