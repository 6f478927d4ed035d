"""Every operation of the OpenAPI document, called with what its schema allows and with what it does not: no 500."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
import schemathesis.specs.openapi.schemas  # loaded late by itself, when a browser's greenlets may be about
from bench.harness import CentreProcess, centre
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

EXAMPLES = int(os.environ.get("THAP_OPENAPI_EXAMPLES", "2"))
"""For each operation; more find more, and take longer."""
ENDLESS = ("/api/v1/stream",)
_METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentreProcess]:
    data = tmp_path_factory.mktemp("openapi") / "centre"
    with centre("--durability", "process", data=data) as made:
        yield made


def _call(up: CentreProcess, client: httpx.Client, modes: list[GenerationMode]) -> tuple[int, list[str]]:
    """How many operations were called, and what failed."""
    assert up.run is not None
    config = SchemathesisConfig()
    schema = schemathesis.openapi.from_dict(client.get("/api/v1/openapi.json").json(), config=config)
    schema.config.base_url = up.run.http
    called, failed = 0, []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        called += 1
        for mode in modes:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def once(case: schemathesis.Case) -> None:
                sent = case.as_transport_kwargs(base_url=up.run.http)  # type: ignore[union-attr]
                answer = case.call(headers=dict(client.headers), timeout=20)
                if answer.status_code >= 500 and answer.status_code != 503:
                    failed.append(f"{case.method} {case.path}: {answer.status_code} for {sent!r:.600}")

            try:
                once()
            except Exception as error:
                if "Unsatisfiable" not in type(error).__name__:  # else nothing is there to break
                    failed.append(f"{operation.label}: {error!r:.300}")
    return called, failed


@pytest.mark.timeout(600)
def test_no_operation_answers_500(up: CentreProcess, tmp_path: Path) -> None:
    with up.client() as client:
        called, failed = _call(up, client, [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
        assert client.get("/readyz").status_code == 200
    assert called > 40
    assert failed == [], "\n".join(failed[:20])
