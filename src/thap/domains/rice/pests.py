"""Pests, crop stages and infestation classes, as the weekly report names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from thap.kernel.units import fold

__all__ = ["CLASSES", "PESTS", "STAGES", "Pest", "class_of", "monday", "pest_named", "stage_named", "stage_on"]

Class = Literal["", "light", "medium", "heavy"]
CLASSES: tuple[Class, ...] = ("light", "medium", "heavy")
"""nhẹ, trung bình, nặng."""


@dataclass(frozen=True, slots=True)
class Pest:
    """Something that eats or sickens rice."""

    key: str
    title: Mapping[str, str]
    unit: str
    """Of its density: con/m² or %."""
    names: tuple[str, ...]
    """Other names, folded."""
    scale: str = ""
    """Begin of its class parameters, as `class_planthopper`; '' where the standard has none here."""
    by_stage: Mapping[str, str] | None = None
    """Stage → begin of its class parameters, where classes hang on the stage."""


def _pest(key: str, vi: str, en: str, unit: str, names: str, scale: str = "", **stages: str) -> tuple[str, Pest]:
    known = (fold(vi), fold(en), *(fold(name) for name in names.split(";") if name))
    return key, Pest(key, {"vi": vi, "en": en}, unit, known, scale, stages or None)


PESTS: dict[str, Pest] = dict(
    (
        _pest("bph", "Rầy nâu", "Brown planthopper", "con/m²", "rầy;bph;nilaparvata lugens", "class_planthopper"),
        _pest("wbph", "Rầy lưng trắng", "White-backed planthopper", "con/m²", "wbph;sogatella", "class_planthopper"),
        _pest("leaf_folder", "Sâu cuốn lá nhỏ", "Leaf folder", "con/m²", "sâu cuốn lá;scl;sclnhỏ", "class_leaf_folder",
              booting="class_leaf_folder_booting", heading="class_leaf_folder_booting"),
        _pest("stem_borer", "Sâu đục thân", "Stem borer", "%", "sâu đục thân 2 chấm;sâu đục thân hai chấm;sđt",
              "class_dead_hearts", heading="class_white_heads", ripening="class_white_heads"),
        _pest("rice_bug", "Bọ xít dài", "Rice bug", "con/m²", "bọ xít;bọ xít hôi", "class_rice_bug"),
        _pest("leaf_blast", "Đạo ôn lá", "Leaf blast", "%", "bệnh đạo ôn lá;đạo ôn", "class_leaf_blast"),
        _pest("neck_blast", "Đạo ôn cổ bông", "Neck blast", "%", "bệnh đạo ôn cổ bông;đạo ôn cổ", "class_neck_blast"),
        _pest("bacterial_blight", "Bạc lá (cháy bìa lá)", "Bacterial leaf blight", "%", "bạc lá;cháy bìa lá"),
        _pest("sheath_blight", "Khô vằn", "Sheath blight", "%", "bệnh khô vằn;đốm vằn;bệnh đốm vằn"),
        _pest("grain_discolour", "Lem lép hạt", "Grain discolouration", "%", "bệnh lem lép hạt;lem lép"),
        _pest("thrips", "Bọ trĩ", "Thrips", "%", "bù lạch"),
        _pest("snail", "Ốc bươu vàng", "Golden apple snail", "con/m²", "ốc;obv"),
        _pest("rat", "Chuột", "Rats", "%", "chuột hại"),
        _pest("gall_midge", "Muỗi hành", "Gall midge", "%", "sâu năn;hành lá"),
    )
)  # fmt: skip
"""By key."""

STAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "seedling": ("Mạ", "Seedling", ("ma", "xuong giong", "moi sa", "cay con")),
    "tillering": ("Đẻ nhánh", "Tillering", ("de nhanh", "dn")),
    "booting": ("Làm đòng", "Booting", ("lam dong", "dung cai", "dung cai lam dong", "dong")),
    "heading": ("Trổ", "Heading", ("tro", "tro bong", "dong tro", "lam dong tro", "tro chin")),
    "ripening": ("Chín", "Ripening", ("chin", "ngam sua", "chac xanh", "do duoi")),
    "harvested": ("Đã thu hoạch", "Harvested", ("thu hoach", "da thu hoach")),
}
"""Key → title vi, title en, other names (folded)."""
_BEGIN = (
    ("harvested", 1.0),
    ("ripening", 0.80),
    ("heading", 0.65),
    ("booting", 0.45),
    ("tillering", 0.13),
    ("seedling", 0.0),
)
"""Share of the days from sowing to harvest at which a stage begins: short-season rice (90 to 100 days), recalled."""


def pest_named(name: str) -> Pest | None:
    """The pest of a key or a name in either language, marks and case left out or not; None for one unknown."""
    plain = fold(name)
    if name in PESTS:
        return PESTS[name]
    for pest in PESTS.values():
        if plain in pest.names:
            return pest
    return next((pest for pest in PESTS.values() if any(plain.startswith(known + " ") for known in pest.names)), None)


def stage_named(name: str) -> str | None:
    """Key of the crop stage a name means, of several (`Đẻ nhánh - Làm đòng`) the first; None for one unknown."""
    if name in STAGES:
        return name
    for part in (fold(name), *(fold(piece) for piece in name.replace("–", "-").replace("/", "-").split("-"))):
        for key, (vi, en, names) in STAGES.items():
            if part in (fold(vi), fold(en), *names):
                return key
    plain = f" {fold(name)} "
    found = [(plain.find(f" {known} "), key) for key, (vi, _, names) in STAGES.items() for known in (fold(vi), *names)]
    found = [(at, key) for at, key in found if at >= 0]
    return min(found)[1] if found else None


def stage_on(sown: date, day: date, days: int) -> str:
    """The crop's stage on a day; '' before it is sown.

    Args:
        sown: when it was.
        day: the day asked about.
        days: from sowing to harvest.
    """
    if day < sown:
        return ""
    share = (day - sown).days / days
    return next(stage for stage, begin in _BEGIN if share >= begin)


def class_of(pest: Pest, stage: str, density: float | None, parameters: Mapping[str, float]) -> Class:
    """The infestation class of a density: light from the first bound on, medium and heavy from theirs.

    Args:
        pest: with the unit the density is in.
        stage: of the crop.
        density: con/m² or %; None where nobody counted.
        parameters: of the domain.

    Source: the classes of the plant-protection standards, each parameter with its own.
    """
    begin = (pest.by_stage or {}).get(stage, pest.scale)
    if not begin or density is None:
        return ""
    reached: Class = ""
    for name in CLASSES:
        if density >= parameters[f"{begin}_{name}"]:
            reached = name
    return reached


def monday(day: date) -> date:
    """The Monday of a day's week."""
    return day - timedelta(days=day.weekday())
