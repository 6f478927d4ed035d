"""`thap tokens`: credentials of doors and API."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from thap.cli.common import Data, Json, call, console, emit, open_records, read_run_file, run_async
from thap.domains.known_records import check_domain
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import VIETNAM, from_us, now_us, parse_duration_us
from thap.kernel.errors import UnavailableError
from thap.kernel.policy import seed
from thap.kernel.policy.changing import known_unit
from thap.kernel.settings import load_settings
from thap.kernel.tokens import create_token, list_tokens, revoke_token

__all__ = ["register"]

tokens = typer.Typer(no_args_is_help=True, help="Credentials of doors and API.")

_PATH = "/api/v1/tokens"


def register(app: typer.Typer) -> None:
    """Add the noun to the command tree."""
    app.add_typer(tokens, name="tokens")


def _running(data: Any) -> bool:
    """Whether a centre runs, so that it must be told of the change."""
    try:
        read_run_file(load_settings(data))
    except UnavailableError:
        return False
    return True


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name; also the user name of an MQTT account.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: read, operate, write, admin. Repeat for several.", show_default="write"),
    ] = None,
    mqtt: Annotated[bool, typer.Option("--mqtt", help="An account of the MQTT door.")] = False,
    things: Annotated[
        list[str] | None,
        typer.Option(
            help="Pattern of the things it may write, as 'tram-*'; repeat for several. Whole names with --mqtt."
        ),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Length of its life, as 30d; by default until revoked.")] = None,
    unit: Annotated[str, typer.Option(help="Code of the unit its scopes hold within; by default everywhere.")] = "",
    domain: Annotated[str, typer.Option(help="Domain its scopes hold within, as sand; by default all.")] = "",
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a token. Its secret is shown this once."""
    kind, scopes, patterns = "mqtt" if mqtt else "api", scope or ["write"], things or []
    if _running(data):
        asked = {"name": name, "scopes": scopes, "kind": kind, "things": patterns, "expires": expires}
        made = call("POST", _PATH, data, json={**asked, "unit": unit, "domain": domain})
    else:
        made = run_async(lambda: _create(data, name, scopes, kind, patterns, expires, unit, domain))

    def text() -> None:
        console.print(f"secret of [bold]{escape(name)}[/], shown this once:", highlight=False)
        console.print(f"  {made['secret']}", highlight=False, markup=False, soft_wrap=True)
        if mqtt:
            console.print(f"user {escape(name)}, password as above", highlight=False, style="dim")
        else:
            console.print("send it as  Authorization: Bearer …", highlight=False, style="dim")

    emit(made, as_json, text)


async def _create(
    data: Any, name: str, scopes: list[str], kind: Any, things: list[str], expires: str | None, unit: str, domain: str
) -> dict[str, Any]:
    records = open_records(load_settings(data))
    try:
        end = now_us() + parse_duration_us(expires) if expires else None
        async with records.write() as connection:
            await seed(connection)
            await check_domain(connection, domain, "--domain")
            if unit:
                await known_unit(connection, unit, "--unit")
            token, secret = await create_token(
                connection,
                name,
                scopes,
                kind=kind,
                things=things,
                expires=end,
                created_by="local",
                unit=unit,
                domain=domain,
            )
            told = {"scopes": sorted(scopes), "unit": unit, "domain": domain, "expires": end}
            await append_async(connection, [Entry("local", "token.create", f"token:{name}", told)])
    finally:
        await records.close()
    return {**token.as_dict(), "secret": secret}


@tokens.command("list")
def list_(
    revoked: Annotated[bool, typer.Option("--revoked", help="Also those revoked.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List tokens, without their secrets."""
    if _running(data):
        items = call("GET", _PATH, data, params={"revoked": revoked})["items"]
    else:
        items = run_async(lambda: _list(data, revoked))

    def text() -> None:
        table = Table("name", "kind", "may", "things", "within", "expires", "last used", "accepted", "refused")
        for token in items:
            name = escape(token["name"])
            table.add_row(
                f"[strike]{name}[/]" if token["revoked"] else name,
                token["kind"],
                " ".join(token["scopes"]),
                escape(" ".join(token["things"]) or "all"),
                escape(", ".join(one for one in (token["unit"], token["domain"]) if one) or "everywhere"),
                _time(token["expires"], "never"),
                _time(token["last_used"], "never"),
                f"{token['accepted']:,}",
                f"{token['refused']:,}",
            )
        console.print(table if items else "There are no tokens yet: `thap tokens create NAME` makes one.")

    emit({"items": items}, as_json, text)


async def _list(data: Any, revoked: bool) -> list[dict[str, Any]]:
    records = open_records(load_settings(data))
    try:
        async with records.read() as connection:
            return [token.as_dict() for token in await list_tokens(connection, revoked=revoked)]
    finally:
        await records.close()


def _time(us: int | None, otherwise: str) -> str:
    return otherwise if us is None else from_us(us).astimezone(VIETNAM).strftime("%Y-%m-%d %H:%M")


@tokens.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Name of the token.")], data: Data = None, as_json: Json = False
) -> None:
    """Revoke a token: it opens nothing from now on."""
    ended = call("DELETE", f"{_PATH}/{name}", data) if _running(data) else run_async(lambda: _revoke(data, name))
    emit(ended, as_json, lambda: console.print(f"revoked {escape(name)}", highlight=False))


async def _revoke(data: Any, name: str) -> dict[str, Any]:
    records = open_records(load_settings(data))
    try:
        async with records.write() as connection:
            ended = (await revoke_token(connection, name)).as_dict()
            await append_async(connection, [Entry("local", "token.revoke", f"token:{name}")])
            return ended
    finally:
        await records.close()
