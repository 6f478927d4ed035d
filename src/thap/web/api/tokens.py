"""/api/v1/tokens: the credentials of doors and API; for administrators."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from thap.domains.known_records import check_domain
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us, parse_duration_us
from thap.kernel.policy.changing import known_unit
from thap.kernel.tokens import create_token, list_tokens, revoke_token
from thap.web.auth import tokens_of
from thap.web.deps import Caller, Centre, CentreDep, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/tokens", tags=["tokens"])
Admin = Annotated[Caller, Depends(require("admin"))]


class NewToken(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Unique among tokens in force; also the user name of an MQTT account.")
    scopes: list[str] = Field(min_length=1, description="Of read, operate, write, admin.")
    kind: Literal["api", "mqtt"] = "api"
    things: list[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Patterns of the things and movers "
        "it may write, as `tram-*`; none means all. Whole names for an MQTT account.",
    )
    expires: str | None = Field(None, description="Length of its life, as 30d; none means until revoked.")
    unit: str = Field("", max_length=32, description="Code of the unit its scopes hold within; none means everywhere.")
    domain: str = Field("", max_length=32, description="Domain its scopes hold within; none means all.")


class TokenInfo(BaseModel):
    """A token, without its secret. Moments are microseconds since 1970 UTC."""

    name: str
    kind: str
    scopes: list[str]
    things: list[str]
    unit: str
    domain: str
    created: int
    created_by: str
    expires: int | None
    revoked: int | None
    last_used: int | None
    requests: int
    accepted: int
    refused: int


class MadeToken(TokenInfo):
    """A token just made."""

    secret: str = Field(description="Shown this once and never again.")


class TokenList(BaseModel):
    items: list[TokenInfo]


async def _changed(centre: Centre) -> None:
    """Every process that checks tokens, and the MQTT door, takes the change."""
    tokens_of(centre).changed()
    await centre.bus.announce("centre.live.tokens", {})


@router.get("", summary="All tokens in force")
async def read_tokens(
    centre: CentreDep, _caller: Admin, revoked: Annotated[bool, Query(description="Also revoked ones.")] = False
) -> TokenList:
    await tokens_of(centre).flush()
    async with centre.records.read() as connection:
        found = await list_tokens(connection, revoked=revoked)
    return TokenList.model_validate({"items": [token.as_dict() for token in found]})


@router.post("", status_code=201, summary="Make a token; its secret is in this answer only")
async def make_token(body: NewToken, centre: CentreDep, caller: Admin) -> MadeToken:
    expires = now_us() + parse_duration_us(body.expires) if body.expires else None
    async with centre.records.write() as connection:
        await check_domain(connection, body.domain)
        if body.unit:
            await known_unit(connection, body.unit)
        token, secret = await create_token(
            connection,
            body.name,
            body.scopes,
            kind=body.kind,
            things=body.things,
            expires=expires,
            created_by=caller.name,
            unit=body.unit,
            domain=body.domain,
        )
        told = {"scopes": sorted(body.scopes), "unit": body.unit, "domain": body.domain, "expires": expires}
        entry = Entry(caller.who, "token.create", f"token:{token.name}", told, caller.address)
        await append_async(connection, [entry])
    await _changed(centre)
    return MadeToken.model_validate({**token.as_dict(), "secret": secret})


@router.delete("/{name}", summary="Revoke a token")
async def end_token(name: str, centre: CentreDep, caller: Admin) -> dict[str, Any]:
    async with centre.records.write() as connection:
        token = await revoke_token(connection, name)
        await append_async(connection, [Entry(caller.who, "token.revoke", f"token:{name}", {}, caller.address)])
    await _changed(centre)
    return token.as_dict()
