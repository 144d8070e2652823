"""
Rights: what the role that serves may do in PostgreSQL, and that it can do no more.

It reads everything, writes what it must, and changes neither the schema nor what was recorded for
good: entries of the ledger, acts of administrators. The owner of the tables, who migrates, sets
these rights after each migration.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from kiebot.adapters.storage.rows import Row
from kiebot.core.errors import StorageError

RIGHTS: Mapping[str, Sequence[str]] = {
    # Never changed, never deleted. The ledger's triggers stand behind this, for the owner too.
    "ledger": ("select", "insert"),
    "acts": ("select", "insert"),
    "topup_receipts": ("select", "insert"),
    "identity": ("select", "insert"),
    "schema_migrations": ("select",),
    # Changed, never deleted.
    "users": ("select", "insert", "update"),
    "wallets": ("select", "insert", "update (balance_kop, hold_kop)"),
    "jobs": ("select", "insert", "update"),
    "tasks": ("select", "insert", "update"),
    "topups": ("select", "insert", "update"),
    "ui_state": ("select", "insert", "update"),
    "inbox_people": ("select", "insert", "update"),
    "lead": ("select", "insert", "update"),
    "limits": ("select", "insert", "update"),
    "sent": ("select", "insert", "update"),
    # Deleted too, when they are over.
    "outbox": ("select", "insert", "update (told_at)", "delete"),
    "inbox": ("select", "insert", "update", "delete"),
    "notices": ("select", "insert", "update", "delete"),
    "instances": ("select", "insert", "update", "delete"),
    "switched_off": ("select", "insert", "delete"),
}
"""Of each table; of an update where it is for some columns only, these."""

_ALL = ("insert", "update", "delete", "truncate", "references", "trigger")


class Connection(Protocol):
    """What is needed of the owner's connection, inside a transaction."""

    async def fetchrow(self, query: str, *values: object) -> Row | None:
        """The first row."""

    async def fetch(self, query: str, *values: object) -> Sequence[Row]:
        """All rows."""

    async def run(self, script: str) -> None:
        """Run statements without values."""


async def grant(connection: Connection, role: str) -> None:
    """
    Give a role exactly these rights, whatever it had in this schema before.

    What everybody may do in the database is cut back as well: nobody but its owner makes tables in
    the schema, or temporary ones.

    Raises:
        StorageError: There is no such role, or it could still do more: it is a superuser, it is or
            belongs to the owner of the tables, or it has rights by another role.
    """
    named = await connection.fetchrow(
        "select quote_ident(rolname) as role, quote_ident(current_schema()) as schema,"
        " quote_ident(current_database()) as database from pg_roles where rolname = $1",
        role,
    )
    if named is None:
        raise StorageError(f"there is no role {role}: make it with `create role … login`")
    # Names of roles and schemas cannot be values; these were quoted by PostgreSQL.
    to, schema, database = named["role"], named["schema"], named["database"]
    tables = ", ".join(f"{schema}.{table}" for table in RIGHTS)
    await connection.run(
        f"revoke create, temporary on database {database} from public, {to};"
        f"revoke create on schema {schema} from public, {to};"
        f"revoke all on {tables} from public, {to};"
        f"grant connect on database {database} to {to};"
        f"grant usage on schema {schema} to {to};"
    )
    for table, rights in RIGHTS.items():
        await connection.run(f"grant {', '.join(rights)} on {schema}.{table} to {to}")
    too_much = await _too_much(connection, role)
    if too_much:
        raise StorageError(f"the role {role} could still do more: {'; '.join(too_much)}")


async def _too_much(connection: Connection, role: str) -> list[str]:
    """What the role may do beyond its rights, in words."""
    row = await connection.fetchrow(
        "select rolsuper, rolcreaterole,"
        " exists (select from pg_class where relnamespace = current_schema()::regnamespace"
        "   and pg_has_role($1, relowner, 'member')) as owns,"
        " has_schema_privilege($1, current_schema(), 'create') as creates,"
        " has_database_privilege($1, current_database(), 'create') as creates_schemas"
        " from pg_roles where rolname = $1",
        role,
    )
    assert row is not None
    if row["rolsuper"]:
        return ["it is a superuser"]
    found = []
    if row["owns"]:
        found.append("it owns tables, or belongs to who does")
    if row["rolcreaterole"]:
        found.append("it may make roles")
    if row["creates"] or row["creates_schemas"]:
        found.append("it may make tables")
    rights = [(table, right) for table, given in RIGHTS.items() for right in set(_ALL) - {*given}]
    held = await connection.fetch(
        "select * from unnest($2::text[], $3::text[]) as one (name, privilege)"
        " where has_table_privilege($1, name, privilege) order by name, privilege",
        role,
        [table for table, _ in rights],
        [right for _, right in rights],
    )
    return found + [f"{row['privilege']} on {row['name']}" for row in held]
