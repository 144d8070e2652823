"""
Migrations: the numbered files of `schema/`, and which of them a database lacks.

A migration is `0001_initial.sql`, followed by what `0001_initial.postgres.sql` or
`0001_initial.sqlite.sql` beside it say for one database alone. Once released it is never edited:
its checksum is kept where it was applied.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files

from attrs import frozen

from kiebot.core.errors import SchemaAheadError


@frozen
class Migration:
    """One step of the schema, as one database applies it."""

    name: str
    script: str

    @property
    def checksum(self) -> str:
        """What tells an edited script from the one that was applied."""
        return sha256(self.script.encode()).hexdigest()


def known(dialect: str) -> Sequence[Migration]:
    """Every migration of this release for `postgres` or `sqlite`, in order."""
    scripts = {
        file.name.removesuffix(".sql"): file.read_text(encoding="utf-8")
        for file in (files("kiebot.adapters.storage") / "schema").iterdir()
        if file.name.endswith(".sql")
    }
    return [
        Migration(name, scripts[name] + scripts.get(f"{name}.{dialect}", ""))
        for name in sorted(scripts)
        if "." not in name
    ]


def missing(migrations: Sequence[Migration], applied: Mapping[str, str]) -> Sequence[Migration]:
    """
    Those that are not among the applied ones (name to checksum).

    Raises:
        SchemaAheadError: One was applied that is not known here, or is another here.
    """
    checksums = {migration.name: migration.checksum for migration in migrations}
    for name, checksum in sorted(applied.items()):
        if name not in checksums:
            raise SchemaAheadError(name, "a newer kiebot made it")
        if checksums[name] != checksum:
            raise SchemaAheadError(name, "it was changed after it was applied")
    return [migration for migration in migrations if migration.name not in applied]
