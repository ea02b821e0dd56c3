"""What decision points remember, kept so that the next one to start need not read the whole ledger. Belongs to no tenant."""

from alembic import op

from chassis import schema

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("CREATE TABLE memory_image (part int PRIMARY KEY, position bigint NOT NULL, body bytea NOT NULL)")
    # Ids are random: compressing them costs time and saves nothing.
    op.execute("ALTER TABLE memory_image ALTER body SET STORAGE EXTERNAL")
    op.execute(f'GRANT SELECT, INSERT, DELETE ON memory_image TO "{schema.service_of(op)}_system"')
