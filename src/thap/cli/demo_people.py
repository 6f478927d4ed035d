"""Accounts of the demo province, named by what they do: none of them is a person."""

from __future__ import annotations

from typing import Any

import httpx

from thap.cli.common import api_json
from thap.kernel.clock import DAY_US, VIETNAM, from_us, now_us
from thap.kernel.errors import ConflictError
from thap.kernel.units import PROVINCE_CODE, commune, communes

__all__ = ["COMMUNE", "PEOPLE", "prepare_people"]

COMMUNE = communes()[0].code
"""The commune whose office has an account of its own."""

_AGRICULTURE = "so-nong-nghiep-moi-truong"
PEOPLE = (
    ("truc-ban", "Trực ban ca", PROVINCE_CODE, (("operator", PROVINCE_CODE, ""),)),
    ("truong-ca", "Trưởng ca trực", PROVINCE_CODE, (("shift_lead", PROVINCE_CODE, ""),)),
    ("lanh-dao", "Lãnh đạo trung tâm", PROVINCE_CODE, (("leader", PROVINCE_CODE, ""),)),
    ("chuyen-vien-cat", "Chuyên viên khoáng sản", _AGRICULTURE, (("domain_expert", PROVINCE_CODE, "sand"),)),
    ("chuyen-vien-lua", "Chuyên viên bảo vệ thực vật", _AGRICULTURE, (("domain_expert", PROVINCE_CODE, "rice"),)),
    ("can-bo-xa", f"Cán bộ {commune(COMMUNE).title}", COMMUNE, (("commune_official", COMMUNE, ""),)),
)
"""Login, name, unit, and grants as (role, unit, domain)."""


def prepare_people(client: httpx.Client) -> None:
    """Make accounts and rotas where they are missing; what is there stays as somebody left it.

    No account has a password: `thap people link LOGIN` makes the link to set one. Their addresses are in the zone that
    exists nowhere (RFC 2606); a demo writes what is sent there into files.

    Raises:
        ThapError: as the API answers.
    """
    fresh = [
        login
        for login, name, unit, _grants in PEOPLE
        if _make(
            client,
            "POST",
            "/api/v1/people",
            {"login": login, "name": name, "unit": unit, "email": f"{login}@demo.invalid"},
        )
    ]
    for login, _name, _unit, grants in PEOPLE:
        if login in fresh:
            for role, unit, domain in grants:
                body = {"role": role, "unit": unit, "domain": domain}
                api_json(client.put(f"/api/v1/people/{login}/grants", json=body))
    if "truc-ban" in fresh:
        midnight = from_us(now_us() - DAY_US).astimezone(VIETNAM).replace(hour=7, minute=0, second=0, microsecond=0)
        for name, role, login in (("truc-ban", "operator", "truc-ban"), ("truong-ca", "shift_lead", "truong-ca")):
            rota: dict[str, Any] = {
                "title": "Ca trực 12 giờ",
                "role": role,
                "rule": "FREQ=DAILY;BYHOUR=7,19",
                "start": midnight.isoformat(),
                "length": "12h",
                "turns": [[login]],
            }
            _make(client, "PUT", f"/api/v1/duty/rotas/{name}", rota)


def _person(login: str, name: str, unit: str) -> dict[str, Any]:
    return {"login": login, "name": name, "unit": unit, "email": f"{login}@demo.invalid"}


def _make(client: httpx.Client, method: str, path: str, body: dict[str, Any]) -> bool:
    """Whether it was made; False where it is there."""
    answer = client.request(method, path, json=body)
    if answer.status_code == ConflictError.status:
        return False
    api_json(answer)
    return True
