"""The migration makes what the models say, and the walls stand."""

from __future__ import annotations

from tests.fixtures.database import ServiceDatabases


def test_every_table_with_a_workspace_is_behind_row_security(service_database: ServiceDatabases) -> None:
    database = service_database("provisioner")
    open_tables = database.postgres.psql(
        "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid "
        "where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and a.attname = 'workspace_id' "
        "and not (c.relrowsecurity and c.relforcerowsecurity)",
        database.name,
    )
    assert open_tables == ""


def test_the_api_role_cannot_read_password_verifiers(service_database: ServiceDatabases) -> None:
    database = service_database("provisioner")
    allowed = database.postgres.psql(
        "select has_table_privilege('provisioner_app', 'mailbox_verifier', 'select')", database.name
    )
    assert allowed.strip() == "f"
