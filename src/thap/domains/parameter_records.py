"""Parameters of domains as the province set them: every version is kept, the newest of a name is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.domains.domain import Domain
from thap.domains.parameters import Parameters, shipped_parameters
from thap.kernel.errors import ConflictError, InputError
from thap.kernel.records import metadata

__all__ = [
    "ParameterVersion",
    "all_versions",
    "domain_parameters",
    "load_parameters",
    "parameter_versions",
    "set_parameter",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

domain_parameters = sa.Table(
    "domain_parameters",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("domain", sa.String(32), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("value", sa.Float),  # null: as shipped again
    sa.Column("source", sa.String(300), nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
    sa.UniqueConstraint("domain", "name", "version"),
    sqlite_autoincrement=True,
)
_P = domain_parameters.c


@dataclass(frozen=True, slots=True)
class ParameterVersion:
    """A value that was set, and by whom."""

    version: int
    value: float | None
    """None: as shipped again."""
    source: str
    changed: int
    """µs."""
    changed_by: str


async def load_parameters(connection: AsyncConnection, domain: Domain) -> Parameters:
    """The parameters of a domain in force."""
    newest = (
        sa.select(_P.name, sa.func.max(_P.version).label("version"))
        .where(_P.domain == domain.name)
        .group_by(_P.name)
        .subquery()
    )
    rows = await connection.execute(
        sa.select(_P.name, _P.value, _P.source, _P.version)
        .join(newest, sa.and_(_P.name == newest.c.name, _P.version == newest.c.version))
        .where(_P.domain == domain.name)
    )
    return shipped_parameters(domain).with_values({row.name: (row.value, row.source, row.version) for row in rows})


async def parameter_versions(connection: AsyncConnection, domain: Domain, name: str) -> Sequence[ParameterVersion]:
    """All that a parameter was set to, newest first.

    Raises:
        NotFoundError: the domain has no such parameter.
    """
    shipped_parameters(domain).one(name)
    rows = await connection.execute(
        sa.select(_P.version, _P.value, _P.source, _P.changed, _P.changed_by)
        .where(_P.domain == domain.name, _P.name == name)
        .order_by(_P.version.desc())
    )
    return [ParameterVersion(*row) for row in rows]


async def all_versions(connection: AsyncConnection, domain: Domain) -> dict[str, list[ParameterVersion]]:
    """All that the parameters of a domain were set to, by name, each newest first; those never set are left out."""
    rows = await connection.execute(
        sa.select(_P.name, _P.version, _P.value, _P.source, _P.changed, _P.changed_by)
        .where(_P.domain == domain.name)
        .order_by(_P.name, _P.version.desc())
    )
    found: dict[str, list[ParameterVersion]] = {}
    for name, *row in rows:
        found.setdefault(name, []).append(ParameterVersion(*row))
    return found


async def set_parameter(
    connection: AsyncConnection,
    domain: Domain,
    name: str,
    value: float | None,
    source: str,
    *,
    version: int,
    by: str,
    now: int,
) -> ParameterVersion:
    """Set a parameter; `value` None takes back the shipped one.

    Args:
        source: where the value is from, as a decision's number; needed with a value.
        version: the version the caller saw in force.
        by: who sets it.
        now: µs.

    Raises:
        NotFoundError: the domain has no such parameter.
        InputError: the value is outside the bounds, or has no source.
        ConflictError: somebody else set it meanwhile.
    """
    known = (await load_parameters(connection, domain)).one(name)
    if value is not None:
        known.check(value)
        if not source.strip():
            raise InputError("a value says where it is from", where="source", hint="as a decision's number and article")
    if known.version != version:
        raise ConflictError(
            f"{name} was set to {known.value:g} meanwhile (version {known.version})",
            hint="look at it, then set it again",
        )
    made = ParameterVersion(version + 1, value, source.strip()[:300], now, by)
    try:
        await connection.execute(
            sa.insert(domain_parameters).values(
                domain=domain.name,
                name=name,
                version=made.version,
                value=value,
                source=made.source,
                changed=now,
                changed_by=by,
            )
        )
    except IntegrityError:
        raise ConflictError(f"{name} was set by somebody else at once", hint="look at it, then set it again") from None
    return made
