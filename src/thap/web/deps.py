"""What a route needs: the centre it belongs to, and who is calling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from thap.kernel.bus import Bus
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.observe.intake import Intake

if TYPE_CHECKING:
    from thap.kernel.policy import Policies, Who

__all__ = ["Caller", "CallerDep", "Centre", "CentreDep", "policy_of", "require"]


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
    """Who calls, and by what credential."""

    name: str
    """Login of a person, name of a token, or `local`."""
    scopes: frozenset[str]
    """Scopes of a token; for a person, those their roles in the whole province amount to."""
    who: Who
    """What policy knows of them: pass it to `Policy.where`, `.check` and the like."""
    session: int | None = None
    """The session this request rides on; None for a bearer token."""
    address: str = ""
    """The network address the request came from."""
    mark: str = ""
    """Of a token: what tells it from another that has had its name; '' for a person."""

    @property
    def identity(self) -> str:
        """What nobody else ever has, at most 80 letters: a login or a token's name may be given again."""
        if self.who.kind == "person":
            return f"person:{self.who.person_id}"
        return "local" if self.who.kind == "local" else f"token:{self.mark}"


def _centre(request: Request) -> Centre:
    centre: Centre = request.app.state.centre
    return centre


CentreDep = Annotated[Centre, Depends(_centre)]


def policy_of(centre: Centre) -> Policies:
    """The policies of this process, made at first use; `await policy_of(centre).current()` gives the policy."""
    from thap.kernel.policy import Policies

    found: Policies | None = centre.parts.get("policies")
    if found is None:
        found = centre.parts["policies"] = Policies(centre.records)
    return found


def require(need: str) -> Callable[..., Any]:
    """A dependency that lets only some callers pass. Gives the Caller.

    Args:
        need: an action of `thap.kernel.policy.ACTIONS`, which the caller must have somewhere (where exactly is
            for the route to ask of the policy); or a scope: `read`, `operate` (acknowledge, shelve, admit),
            `write` (send records), `admin`.

    Raises:
        UnauthenticatedError: no valid credential.
        DeniedError: the credential does not allow it.
    """

    async def check(request: Request) -> Caller:
        from thap.web.auth import authenticate

        return await authenticate(request, need)

    return check


CallerDep = Annotated[Caller, Depends(require("read"))]
