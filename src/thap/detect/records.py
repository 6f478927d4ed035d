"""Rules that are kept: in the records, every version of them, and in files of the data directory.

A rule in the records was put there by a person through the API or `thap rules add`; a rule in
`<data>/rules/*.toml` lives in its file. Where both have a name, the record is in force and the file's rule is
listed as a problem; of two files, the first by file name. A broken file stops nobody but its own broken rules.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.detect.rules import Rule
from thap.detect.ruletext import Problem, bodies_of, parse_rules, read_rules
from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, NotFoundError, RuleError
from thap.kernel.records import metadata
from thap.kernel.settings import Settings

__all__ = [
    "Gathered",
    "Listed",
    "StoredRule",
    "Version",
    "file_rules",
    "gather_rules",
    "load_rules",
    "put_rule",
    "rule_history",
    "rule_versions",
    "rules",
    "set_enabled",
    "stored_rule",
    "stored_rules",
    "switch_rule",
]

_log = structlog.get_logger(__name__)
RECORDS = "records"

rules = sa.Table(
    "rules",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),  # of the record, from 1; not the rule's own `version`
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # TOML with one [[rule]]
    sa.Column("changed", sa.BigInteger, nullable=False),  # µs
    sa.Column("changed_by", sa.String(128), nullable=False),
)
rule_versions = sa.Table(
    "rule_versions",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False, index=True),
    sa.Column("changed_by", sa.String(128), nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule as the records have it."""

    name: str
    version: int
    enabled: bool
    body: str
    changed: int
    changed_by: str


Version = StoredRule
"""One of the versions a rule has had; the same columns."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A rule and where it comes from."""

    rule: Rule
    """`enabled` is as in force."""
    origin: str
    """`records`, or the path of its file."""
    body: str
    stored: StoredRule | None = None


@dataclass(slots=True)
class Gathered:
    """All rules of a centre."""

    rules: list[Listed] = field(default_factory=list)
    """By name."""
    problems: list[Problem] = field(default_factory=list)

    def find(self, name: str) -> Listed:
        """The rule of this name.

        Raises:
            NotFoundError: there is none.
        """
        for listed in self.rules:
            if listed.rule.name == name:
                return listed
        raise NotFoundError(f"no rule is called {name!r}", hint="`thap rules list` shows them")


# ---- the records


async def stored_rules(connection: AsyncConnection) -> list[StoredRule]:
    """All rules in the records, by name."""
    return [StoredRule(*row) for row in await connection.execute(sa.select(rules).order_by(rules.c.name))]


async def stored_rule(connection: AsyncConnection, name: str) -> StoredRule:
    """One rule in the records.

    Raises:
        NotFoundError: it is not there.
    """
    row = (await connection.execute(sa.select(rules).where(rules.c.name == name))).one_or_none()
    if row is None:
        raise NotFoundError(f"no rule in the records is called {name!r}", hint="`thap rules list` shows them")
    return StoredRule(*row)


async def rule_history(connection: AsyncConnection, name: str) -> list[Version]:
    """Every version of a rule, newest first.

    Raises:
        NotFoundError: it never was in the records.
    """
    table = rule_versions
    rows = await connection.execute(sa.select(table).where(table.c.name == name).order_by(table.c.version.desc()))
    found = [StoredRule(*row) for row in rows]
    if not found:
        raise NotFoundError(f"no rule in the records is called {name!r}", hint="`thap rules list` shows them")
    return found


async def put_rule(
    connection: AsyncConnection, body: str, who: str, *, expected: int | None = None, enabled: bool | None = None
) -> StoredRule:
    """Keep a rule, as a new one or as a new version of what has its name.

    Args:
        connection: in a write transaction.
        body: TOML with one `[[rule]]`.
        who: changed it.
        expected: version that the caller has seen, 0 for none; None overwrites whatever there is.
        enabled: whether it shall be in force; None: as the body says.

    Raises:
        RuleError: the body is not one sound rule.
        ConflictError: the version is another one by now.
    """
    found = read_rules(body, "rule")
    if len(found) != 1:
        raise RuleError(f"there are {len(found)} rules in it", where="rule", hint="give one [[rule]] at a time")
    armed = found[0].enabled if enabled is None else enabled
    return await _write(connection, found[0].name, who, expected, body.strip() + "\n", armed)


async def set_enabled(
    connection: AsyncConnection, name: str, enabled: bool, who: str, *, expected: int | None = None
) -> StoredRule:
    """Put a rule in force or out of it, as a new version. Raises as `put_rule`, or NotFoundError."""
    known = await stored_rule(connection, name)
    if known.enabled is enabled and expected in (None, known.version):
        return known
    return await _write(connection, name, who, expected, known.body, enabled)


async def _write(
    connection: AsyncConnection, name: str, who: str, expected: int | None, body: str, enabled: bool
) -> StoredRule:
    version = (await connection.execute(sa.select(rules.c.version).where(rules.c.name == name))).scalar() or 0
    if expected is not None and expected != version:
        raise _conflict(name, version)
    made = StoredRule(name, version + 1, enabled, body, now_us(), who)
    values = {column: getattr(made, column) for column in StoredRule.__slots__}
    if version:
        # The condition decides between two writers where the database does not queue them.
        done = await connection.execute(
            sa.update(rules).where(rules.c.name == name, rules.c.version == version).values(**values)
        )
        if done.rowcount != 1:
            raise _conflict(name, version)
    else:
        try:
            async with connection.begin_nested():
                await connection.execute(sa.insert(rules).values(**values))
        except IntegrityError:
            raise _conflict(name, 1) from None
    await connection.execute(sa.insert(rule_versions).values(**values))
    return made


def _conflict(name: str, version: int) -> ConflictError:
    return ConflictError(
        f"rule {name!r} is at version {version} by now" if version else f"there is no rule {name!r}",
        hint="read it again and repeat the change",
    )


# ---- files, and both together


def file_rules(folder: Path) -> Gathered:
    """The rules of every `*.toml` in a folder, in order of file names; a missing folder has none."""
    gathered = Gathered()
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            gathered.problems.append(
                Problem(
                    path.name,
                    before.count(b"\n") + 1,
                    error.start - before.rfind(b"\n"),
                    "",
                    "",
                    "not UTF-8 text",
                    "save the file as UTF-8",
                )
            )
            continue
        except OSError as error:
            gathered.problems.append(Problem(path.name, 1, 1, "", "", f"cannot be read: {error.strerror}"))
            continue
        parsed = parse_rules(text, path.name)
        gathered.problems += parsed.problems
        bodies = bodies_of(text) if parsed.rules else {}
        for rule in parsed.rules:
            if rule.name in names:
                place = parsed.places[rule.name]
                gathered.problems.append(
                    Problem(
                        path.name,
                        *place,
                        rule.name,
                        "name",
                        f"{names[rule.name]} has a rule {rule.name!r} too, which is in force",
                        "each rule has its own name",
                    )
                )
                continue
            names[rule.name] = path.name
            gathered.rules.append(Listed(rule, str(path), bodies[rule.name]))
    return gathered


async def gather_rules(settings: Settings, connection: AsyncConnection) -> Gathered:
    """All rules of a centre, enabled or not, with what is wrong with those that cannot be read."""
    gathered = Gathered()
    for stored in await stored_rules(connection):
        parsed = parse_rules(stored.body, f"{RECORDS}/{stored.name}")
        # Only after an upgrade that changed what a rule may say can a kept rule be unreadable.
        gathered.problems += parsed.problems
        gathered.rules += [
            Listed(rule.model_copy(update={"enabled": stored.enabled}), RECORDS, stored.body, stored)
            for rule in parsed.rules
        ]
    kept = {listed.rule.name for listed in gathered.rules}
    files = await asyncio.to_thread(file_rules, settings.rules_dir)
    gathered.problems += files.problems
    for listed in files.rules:
        if listed.rule.name in kept:
            gathered.problems.append(
                Problem(
                    Path(listed.origin).name,
                    1,
                    1,
                    listed.rule.name,
                    "name",
                    f"the records have a rule {listed.rule.name!r} too, which is in force",
                    "rename one of them",
                )
            )
        else:
            gathered.rules.append(listed)
    gathered.rules.sort(key=lambda listed: listed.rule.name)
    return gathered


async def switch_rule(
    settings: Settings, connection: AsyncConnection, name: str, enabled: bool, who: str, *, expected: int | None = None
) -> StoredRule:
    """Put a rule in force or out of it. Raises as `set_enabled`, and ConflictError for a rule that lives in a file."""
    listed = (await gather_rules(settings, connection)).find(name)
    if listed.stored is None:
        raise ConflictError(
            f"rule {name!r} lives in a file",
            where=listed.origin,
            hint=f"write enabled = {str(enabled).lower()} there, then `thap rules reload`",
        )
    return await set_enabled(connection, name, enabled, who, expected=expected)


async def load_rules(settings: Settings, connection: AsyncConnection) -> list[Rule]:
    """The rules to be in force. What is wrong with others goes to the log, with its position."""
    gathered = await gather_rules(settings, connection)
    for problem in gathered.problems:
        _log.error(
            "rule cannot be used", where=problem.where, rule=problem.rule, reason=problem.message, hint=problem.hint
        )
    return [listed.rule for listed in gathered.rules if listed.rule.enabled]
