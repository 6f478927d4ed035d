"""What a route needs: the centre it belongs to, and who is calling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.intake import Intake

__all__ = ["Caller", "CallerDep", "Centre", "CentreDep", "require"]


@dataclass
class Centre:
    """The parts of the running centre that routes use; `app.state.centre`."""

    settings: Settings
    records: Records
    bus: Bus
    intake: Intake | None = None
    """Set where this process keeps doors."""
    parts: dict[str, Any] = field(default_factory=dict)
    """Objects made once by the package that owns them, by name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the name of the token and what it may do."""

    name: str
    scopes: frozenset[str]


def _centre(request: Request) -> Centre:
    centre: Centre = request.app.state.centre
    return centre


CentreDep = Annotated[Centre, Depends(_centre)]


def require(scope: str) -> Callable[..., Any]:
    """A dependency that lets only callers with `scope` pass: `read`, `operate` (acknowledge, shelve, admit),
    `write` (send records), `admin`. Gives the Caller.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: the credential lacks the scope.
    """

    async def check(request: Request) -> Caller:
        from thap.web.auth import authenticate

        return await authenticate(request, scope)

    return check


CallerDep = Annotated[Caller, Depends(require("read"))]
