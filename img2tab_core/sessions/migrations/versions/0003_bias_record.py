"""The bias record of a session, and the metric that its five questions led to; the sessions there are have neither."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A table of scenarios, and a column more of a session."""
    op.create_table(
        "audit_scenario",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("session_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at_risk", sa.Text, nullable=False),
        sa.Column("harm", sa.Text, nullable=False),
        sa.Column("words_of", sa.Text, nullable=False),
        sa.Column("measure", sa.String(40), nullable=False),
        sa.Column("largest", sa.Double, nullable=False),
        sa.Column("mitigation", sa.Text, nullable=False),
        sa.Column("review", sa.Date, nullable=True),
        sa.Column("who", sa.String(80), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["audit_session.id"], name="audit_scenario_of_session", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("session_id", "number", name="audit_scenario_number"),
        sqlite_autoincrement=True,
    )
    # not counted from the rows: a number that was removed is not given again
    op.add_column("audit_session", sa.Column("scenarios", sa.Integer, nullable=False, server_default="0"))
    op.add_column("audit_session", sa.Column("metric_choice", sa.JSON, nullable=False, server_default="{}"))
