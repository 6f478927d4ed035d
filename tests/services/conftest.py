"""A report desk on real SQLite, and on a real PostgreSQL where one can be started."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from thap.kernel.places import Locator, communes
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.services.reports import ReportDesk


@pytest.fixture(scope="session")
def locator() -> Locator:
    """Without outlines: the nearest centre answers."""
    return Locator(communes())


async def _desk(settings: Settings, records: Records, locator: Locator) -> AsyncIterator[ReportDesk]:
    async def locate(lon: float, lat: float) -> str:
        return str(locator.codes_of(lon, lat)[0])

    made = ReportDesk(settings, records, locate=locate)
    yield made
    await made.close()


@pytest.fixture
async def desk(settings: Settings, records: Records, locator: Locator) -> AsyncIterator[ReportDesk]:
    """On SQLite."""
    async for made in _desk(settings, records, locator):
        yield made


@pytest.fixture
async def desk_on_either(settings: Settings, either: Records, locator: Locator) -> AsyncIterator[ReportDesk]:
    """On SQLite, then on PostgreSQL."""
    async for made in _desk(settings, either, locator):
        yield made


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A small JPEG that says where it was taken."""
    picture = Image.new("RGB", (64, 48), (200, 120, 40))
    exif = picture.getexif()
    exif[0x0110] = "a telephone"
    exif.get_ifd(0x8825).update({1: "N", 2: (10.0, 27.0, 0.0), 3: "E", 4: (105.0, 38.0, 0.0)})
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()
