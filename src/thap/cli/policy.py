"""`thap policy`: why somebody may or may not, and what is restricted."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.cli.common import Data, Json, console, emit
from thap.cli.people import OWNER, change, read
from thap.domains.domain import domains
from thap.kernel.policy import ROLES, Policy, Restriction
from thap.kernel.policy import limits as limits_of
from thap.kernel.policy.explain import KINDS, Explanation
from thap.kernel.policy.explain import explain as explained
from thap.kernel.policy.people import GIVEN_ROLES
from thap.observe.registry import check_restrictable

__all__ = ["register"]

policy = typer.Typer(no_args_is_help=True, help="Why somebody may or may not, and what is restricted.")
Kind = Annotated[str, typer.Argument(help="thing, domain or unit.")]
Ref = Annotated[str, typer.Argument(help="Its name or code.")]


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(policy, name="policy")


@policy.command("explain")
def explain(
    person: Annotated[str, typer.Argument(help="Login of a person.")],
    action: Annotated[str, typer.Argument(help="As incident.close; `thap policy roles` shows all.")],
    record: Annotated[str, typer.Argument(help=f"As incident:12 or thing:cam-1. Kinds: {', '.join(KINDS)}.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say whether a person may do something to a record, and why or why not."""

    async def ask(connection: AsyncConnection) -> Explanation:
        return await explained(connection, await Policy.load(connection), person, action, record)

    told = read(data, ask)

    def text() -> None:
        may = "[green]may[/]" if told.allowed else "[red]may not[/]"
        console.print(f"[bold]{escape(told.person)}[/] {may} {escape(action)} {escape(record)}", highlight=False)
        for reason in told.reasons:
            console.print(f"  - {escape(reason)}", highlight=False)

    emit(told.as_dict(), as_json, text)


@policy.command("roles")
def roles(_data: Data = None, as_json: Json = False) -> None:
    """List the roles, and what each allows."""
    items = [{"role": role, "actions": sorted(ROLES[role])} for role in GIVEN_ROLES]

    def text() -> None:
        table = Table("role", "allows", box=SIMPLE, pad_edge=False, show_lines=True)
        for role in GIVEN_ROLES:
            table.add_row(role, " ".join(sorted(ROLES[role])))
        console.print(table)

    emit({"items": items}, as_json, text)


@policy.command("restrictions")
def restrictions(data: Data = None, as_json: Json = False) -> None:
    """List what only people with a clearance see."""
    found = read(data, limits_of.list_restrictions)
    items = [{"kind": one.kind, "ref": one.ref, "reason": one.reason, "created_by": one.created_by} for one in found]

    def text() -> None:
        table = Table("kind", "name", "why", "by", box=SIMPLE, pad_edge=False)
        for one in items:
            table.add_row(one["kind"], escape(one["ref"]), escape(one["reason"]), escape(one["created_by"]))
        console.print(table if items else "Nothing is restricted: `thap policy restrict thing NAME` does that.")

    emit({"items": items}, as_json, text)


@policy.command("restrict")
def restrict(
    kind: Kind,
    ref: Ref,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hide a thing, a domain or a unit from everyone without a clearance (`thap people clear`)."""
    known = domains()

    async def act(connection: AsyncConnection) -> Restriction:
        done = await limits_of.restrict(connection, kind, ref, reason, by=OWNER)
        await check_restrictable(connection, done.kind, done.ref, known)  # else nothing is kept
        return done

    made = change(data, act)
    told = {"kind": made.kind, "ref": made.ref, "reason": made.reason}
    emit(told, as_json, lambda: console.print(f"restricted {made.kind} {escape(made.ref)}", highlight=False))


@policy.command("lift")
def lift(kind: Kind, ref: Ref, data: Data = None, as_json: Json = False) -> None:
    """End a restriction, and the clearances for it."""
    made = change(data, lambda connection: limits_of.lift(connection, kind, ref, by=OWNER))
    told = {"kind": made.kind, "ref": made.ref}
    emit(told, as_json, lambda: console.print(f"{made.kind} {escape(made.ref)} is open again", highlight=False))
