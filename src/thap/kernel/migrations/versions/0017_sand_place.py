"""River sand: of the part that keeps trips only its place in the stream of findings is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM sand_state")  # places in another stream
    op.drop_column("sand_state", "state")


def downgrade() -> None:
    op.execute("DELETE FROM sand_state")
    op.add_column("sand_state", sa.Column("state", sa.LargeBinary(), nullable=False, server_default=sa.text("''")))
