"""Every error answer has one shape: `{"error": {"code", "message", "where"?, "hint"?}}`."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from thap.kernel.errors import DeniedError, InputError, NotFoundError, ThapError, UnauthenticatedError
from thap.kernel.lockout import TooManyTriesError
from thap.kernel.once import Repeated
from thap.web.answers import JsonAnswer

__all__ = ["ErrorAnswer", "answer_error", "install"]

_log = structlog.get_logger(__name__)


class ErrorDetail(BaseModel):
    """What was wrong, where, and what to do next."""

    code: str
    message: str
    where: str | None = None
    hint: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


def answer_error(error: ThapError) -> Response:
    """The answer to a deliberate error."""
    headers = {"WWW-Authenticate": 'Bearer realm="thap"'} if isinstance(error, UnauthenticatedError) else {}
    if error.status == 503:
        headers["Retry-After"] = "2"
    if isinstance(error, TooManyTriesError):
        headers["Retry-After"] = str(error.wait_s)
    return JsonAnswer({"error": error.as_dict()}, error.status, headers)


async def _deliberate(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ThapError)
    return answer_error(error)


async def _repeated(_request: Request, error: Exception) -> Response:
    """The first answer to a request that came again; nothing was done."""
    assert isinstance(error, Repeated)
    return Response(error.answer, error.status, {"Idempotent-Replayed": "true"}, "application/json")


async def _invalid(_request: Request, error: Exception) -> Response:
    """The first thing wrong with parameters or body, in the words of whoever wrote the request."""
    assert isinstance(error, RequestValidationError)
    found: list[dict[str, Any]] = list(error.errors())
    first: dict[str, Any] = found[0] if found else {"loc": (), "msg": "Cannot be read"}
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first.get("type") == "json_invalid":
        message = f"not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}"
        where = f"body, character {first['loc'][-1]}"
    else:
        message = first["msg"][:1].lower() + first["msg"][1:] + more
    return answer_error(InputError(message, where=where or None, hint="/api/v1/openapi.json describes every request"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ThapError):  # raised while FastAPI read the body
        return answer_error(error.__cause__)
    if error.status_code == 404:
        return answer_error(
            NotFoundError(
                "there is nothing at this address",
                where=request.url.path,
                hint="/api/v1/openapi.json lists every address",
            )
        )
    code = {403: DeniedError.code, 405: "method_not_allowed"}.get(error.status_code, "error")
    return JsonAnswer(
        {"error": {"code": code, "message": str(error.detail), "where": request.url.path}},
        error.status_code,
        dict(error.headers or {}),
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has the trace, the answer only the request's id to find it by."""
    number = request.scope.get("thap_request", "")
    _log.error("request failed", path=request.url.path, request=number, exc_info=error)
    return JsonAnswer(
        {
            "error": {
                "code": "error",
                "message": "the centre failed at this request",
                "hint": f"the log tells why under request {number}",
            }
        },
        500,
        {"X-Request-Id": str(number)},
    )


def install(app: FastAPI) -> None:
    """Give the app its error answers."""
    app.add_exception_handler(ThapError, _deliberate)
    app.add_exception_handler(Repeated, _repeated)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
