"""The units a centre begins with."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import now_us
from thap.kernel.policy.records import units
from thap.kernel.units import PROVINCE_CODE, communes

__all__ = ["DEPARTMENTS", "seed"]

PROVINCE_NAME = "Tỉnh Đồng Tháp"
DEPARTMENTS = {
    "so-nong-nghiep-moi-truong": "Sở Nông nghiệp và Môi trường",
    "so-xay-dung": "Sở Xây dựng",
    "so-cong-thuong": "Sở Công Thương",
    "so-khoa-hoc-cong-nghe": "Sở Khoa học và Công nghệ",
    "so-van-hoa-the-thao-du-lich": "Sở Văn hóa, Thể thao và Du lịch",
    "so-y-te": "Sở Y tế",
    "so-giao-duc-dao-tao": "Sở Giáo dục và Đào tạo",
    "so-tai-chinh": "Sở Tài chính",
    "so-noi-vu": "Sở Nội vụ",
    "so-tu-phap": "Sở Tư pháp",
}
"""Departments of the province to begin with; `thap units add` and `edit` change them."""


async def seed(connection: AsyncConnection) -> int:
    """Write the province, its departments and communes down where they are not known; returns how many were new.

    What stands already stays as it is, so it may be run at every start. Departments are written at the first
    start only: one that was taken away does not come back.

    Args:
        connection: in a write transaction.
    """
    known = set(await connection.scalars(sa.select(units.c.code)))
    now = now_us()
    rows = [] if PROVINCE_CODE in known else [_row(PROVINCE_CODE, None, "province", PROVINCE_NAME, now)]
    if not known:
        rows += [_row(code, PROVINCE_CODE, "department", name, now) for code, name in DEPARTMENTS.items()]
    rows += [
        _row(unit.code, PROVINCE_CODE, "commune", unit.title, now) for unit in communes() if unit.code not in known
    ]
    if rows:
        await connection.execute(sa.insert(units), rows)
    return len(rows)


def _row(code: str, parent: str | None, kind: str, name: str, now: int) -> dict[str, object]:
    return {"code": code, "parent": parent, "kind": kind, "name": name, "changed": now}
