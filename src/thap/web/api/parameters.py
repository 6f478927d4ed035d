"""/api/v1/domains/{domain}/parameters: the numbers a domain decides by, with their sources and every version."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from thap.domains.domain import Domain, domain, domains
from thap.domains.parameter_records import ParameterVersion, all_versions, load_parameters, set_parameter
from thap.domains.parameters import Confidence, Parameter, shipped_parameters
from thap.kernel.audit import Entry, append_async
from thap.kernel.clock import now_us
from thap.kernel.errors import DeniedError, NotFoundError
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["parameters"])
Reader = Annotated[Caller, Depends(require("register.read"))]
Writer = Annotated[Caller, Depends(require("register.write"))]
DomainName = Annotated[str, Path(max_length=32, description="Name of the domain, as water.")]


class Setting(BaseModel):
    """What a parameter was set to, once."""

    version: int
    value: float | None = Field(description="None: as shipped again.")
    source: str
    changed: int = Field(description="µs.")
    changed_by: str


class ParameterShown(BaseModel):
    """A parameter as it is in force, and what it was before."""

    name: str
    title: dict[str, str]
    value: float
    unit: str
    low: float
    high: float
    source: str
    confidence: Confidence = Field(description="H read in its source, M partly read, L recalled or a proposal.")
    version: int = Field(description="0: as shipped. What a change starts from.")
    shipped: float = Field(description="The value as shipped.")
    history: list[Setting] = Field(description="Newest first.")


class ParameterList(BaseModel):
    """The parameters of a domain."""

    domain: str
    title: dict[str, str]
    writable: bool = Field(description="Whether the caller may set them.")
    items: list[ParameterShown]


class DomainWithParameters(BaseModel):
    """A domain that has parameters."""

    name: str
    title: dict[str, str]
    parameters: int
    writable: bool


class DomainsWithParameters(BaseModel):
    """Those the caller may see."""

    items: list[DomainWithParameters]


class ParameterBody(BaseModel):
    """A value to set."""

    model_config = ConfigDict(extra="forbid")

    value: float | None = Field(description="None takes back the shipped one.")
    source: str = Field("", max_length=300, description="Where the value is from; needed with a value.")
    version: int = Field(ge=0, description="The version that was seen in force.")


async def _readable(centre: Centre, caller: Caller, name: str) -> Domain:
    """The domain, where the caller may read the registers of it somewhere.

    Raises:
        NotFoundError: there is none, or none for them.
    """
    found = domain(name)
    policy = await policy_of(centre).current()
    units = policy.units(caller.who, "register.read", name)
    if units is not None and not units:
        raise NotFoundError(f"no domain is called {name!r}")
    return found


async def _writable(centre: Centre, caller: Caller, name: str) -> bool:
    return (await policy_of(centre).current()).may(caller.who, "register.write", domain=name)


def _shown(one: Parameter, shipped: float, history: list[ParameterVersion]) -> ParameterShown:
    return ParameterShown(
        name=one.name,
        title=dict(one.title),
        value=one.value,
        unit=one.unit,
        low=one.low,
        high=one.high,
        source=one.source,
        confidence=one.confidence,
        version=one.version,
        shipped=shipped,
        history=[
            Setting(
                version=each.version,
                value=each.value,
                source=each.source,
                changed=each.changed,
                changed_by=each.changed_by,
            )
            for each in history
        ],
    )


@router.get("/parameters", summary="Domains that have parameters")
async def list_domains(centre: CentreDep, caller: Reader) -> DomainsWithParameters:
    """Those whose registers the caller may read."""
    policy = await policy_of(centre).current()
    found = []
    for one in domains().values():
        units = policy.units(caller.who, "register.read", one.name)
        if one.parameters and (units is None or units):
            found.append(
                DomainWithParameters(
                    name=one.name,
                    title=one.title,
                    parameters=len(shipped_parameters(one)),
                    writable=policy.may(caller.who, "register.write", domain=one.name),
                )
            )
    return DomainsWithParameters(items=found)


@router.get("/domains/{domain_name}/parameters", summary="The parameters of a domain")
async def list_parameters(domain_name: DomainName, centre: CentreDep, caller: Reader) -> ParameterList:
    """Each with its value in force, unit, bounds, source and confidence, and every version it had."""
    one = await _readable(centre, caller, domain_name)
    async with centre.records.read() as connection:
        known = await load_parameters(connection, one)
        history = await all_versions(connection, one)
    shipped = shipped_parameters(one)
    items = [_shown(each, shipped[name], history.get(name, [])) for name, each in known.known.items()]
    return ParameterList(
        domain=one.name, title=one.title, writable=await _writable(centre, caller, one.name), items=items
    )


@router.put("/domains/{domain_name}/parameters/{name}", summary="Set a parameter")
async def put_parameter(
    domain_name: DomainName,
    name: Annotated[str, Path(max_length=64, description="Name of the parameter.")],
    body: ParameterBody,
    centre: CentreDep,
    caller: Writer,
) -> ParameterShown:
    """It holds from now on, for detectors, forecasts and screens. A version that is not the latest is refused (409)."""
    one = await _readable(centre, caller, domain_name)
    if not await _writable(centre, caller, one.name):
        raise DeniedError(
            f"{caller.name} may not set parameters of {one.name}",
            where="register.write",
            hint="it takes a role in the whole province, for a parameter holds everywhere",
        )
    async with centre.records.write() as connection:
        before = (await load_parameters(connection, one)).one(name)
        await set_parameter(
            connection, one, name, body.value, body.source, version=body.version, by=caller.name, now=now_us()
        )
        known = await load_parameters(connection, one)
        history = await all_versions(connection, one)
        told = {"before": before.value, "value": body.value, "source": body.source, "version": body.version + 1}
        what = f"parameter:{one.name}.{name}"
        await append_async(connection, [Entry(caller.who, "parameter.set", what, told, caller.address)])
    await centre.bus.announce("centre.live.rules", {"parameter": f"{one.name}.{name}", "by": caller.name})
    return _shown(known.one(name), shipped_parameters(one)[name], history[name])
