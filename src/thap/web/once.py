"""The header `Idempotency-Key`: a request that is sent again is not done again.

A route that takes it does its work in `Once.store(…)`. Only successes are kept: what was refused may be asked again
under the same key. A kept answer is given back only to the very person or token that got it first, and only while
policy would let them do the same again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar
from urllib.parse import unquote

import msgspec
from fastapi import Depends, Header, Request
from pydantic import BaseModel

from thap.kernel.errors import DeniedError
from thap.kernel.once import OnceStore, Repeated, recall
from thap.kernel.store import Store
from thap.web.deps import Caller, Centre
from thap.web.sight import store_of

__all__ = ["Once", "OnceDep", "OtherSenderError"]


class OtherSenderError(DeniedError):
    """A request of one person over the session of another."""

    code: ClassVar[str] = "other_sender"


class Once:
    """One request, with the key its sender gave it and who they say they are; '' where nothing was given."""

    def __init__(self, request: Request, key: str, sender: str) -> None:
        self.key, self._asked = key, f"{request.method} {request.url.path}?{request.url.query}"
        self._named = unquote(sender)
        self._told = ""

    async def begin(
        self, centre: Centre, caller: Caller, body: BaseModel | str, check: Callable[[], Awaitable[object]]
    ) -> None:
        """Say what is asked; to be called before anything is looked at or done.

        Args:
            centre: the centre.
            caller: who asks.
            body: what the request holds beside its address: the body as read, or a digest of it.
            check: raises where the caller may not do this now; asked before a kept answer is given.

        Raises:
            Repeated: it was done before.
            KeyReusedError: something else was done under this key.
            OtherSenderError: it was written by somebody else than who is signed in.
            DeniedError, NotFoundError: it was done before, and the caller may do it no longer: as `check` says.
        """
        if self._named and self._named != _sender(caller):
            raise OtherSenderError(
                "somebody else is signed in than who wrote this", where="Thap-Sender", hint="sign in as who wrote it"
            )
        if self.key:
            text = body if isinstance(body, str) else body.model_dump_json()
            self._told = hashlib.sha256(f"{self._asked}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
            try:
                async with centre.records.read() as connection:
                    await recall(connection, caller.identity, self.key, self._told)
            except Repeated:
                await check()
                raise

    def store(self, centre: Centre, caller: Caller, answer: Callable[[Any], Any], status: int = 200) -> Store:
        """Where the work is to be done, after `begin`.

        Args:
            centre: the centre.
            caller: who asks.
            answer: what is answered, from what the transaction gives.
            status: with this status.
        """
        store = store_of(centre)
        if not self.key:
            return store
        return OnceStore(
            store,
            caller.identity,
            self.key,
            self._told,
            lambda result: (status, msgspec.json.encode(answer(result))),
        )


def _sender(caller: Caller) -> str:
    return f"{caller.who.kind}:{caller.name}"


def _once(
    request: Request,
    key: Annotated[
        str,
        Header(
            alias="Idempotency-Key",
            max_length=100,
            pattern=r"^[\x21-\x7e]*$",
            description="The sender's own word for this request, new for each: sent again with the same within seven "
            "days, the first answer is given again and nothing is done. With another body it is refused with 422.",
        ),
    ] = "",
    sender: Annotated[
        str,
        Header(
            alias="Thap-Sender",
            max_length=300,
            description="Whose request it is, as `person:truc-ban`, percent-encoded; refused where another is in.",
        ),
    ] = "",
) -> Once:
    return Once(request, key, sender)


OnceDep = Annotated[Once, Depends(_once)]
