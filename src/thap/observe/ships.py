"""What kind of vessel a ship type means, in the words the centre uses for the kind of a mover."""

from __future__ import annotations

__all__ = ["ship_kind", "vessel_key"]

# First digit of the two-digit code of ITU-R M.1371-5, table 53; the 30s and 50s name each code by itself.
_TENS = {2: "wing_in_ground", 4: "high_speed", 6: "passenger", 7: "cargo", 8: "tanker", 9: "other"}
_CODES = {
    30: "fishing",
    31: "towing",
    32: "towing",
    33: "dredger",
    34: "diving",
    35: "military",
    36: "sailing",
    37: "pleasure",
    50: "pilot",
    51: "rescue",
    52: "tug",
    53: "port_tender",
    54: "anti_pollution",
    55: "law_enforcement",
    58: "medical",
    59: "non_combatant",
}
# The same kinds as exports of AIS archives spell them.
_WORDS = {
    "dredging": "dredger",
    "dredging or underwater ops": "dredger",
    "hsc": "high_speed",
    "high speed craft": "high_speed",
    "sar": "rescue",
    "search and rescue": "rescue",
    "port tender": "port_tender",
    "anti-pollution": "anti_pollution",
    "law enforcement": "law_enforcement",
    "medical transport": "medical",
    "pleasure craft": "pleasure",
    "wig": "wing_in_ground",
    "towing long/wide": "towing",
    "not party to conflict": "non_combatant",
}
_NONE = {"", "undefined", "unknown", "reserved", "not available", "spare 1", "spare 2", "n/a", "null"}


def ship_kind(ship_type: int | str) -> str:
    """The kind of a vessel: `dredger`, `cargo`, `tanker`, `fishing`, … or empty where it is not known.

    Args:
        ship_type: the code of AIS messages 5, 19 and 24 (0–255), as a number or its digits, or its name as
            archives write it (`Dredging`, `HSC`, …); an unknown name is kept in lower case.
    """
    if isinstance(ship_type, str):
        word = ship_type.strip().lower()
        if not word.isdecimal():
            return "" if word in _NONE else _WORDS.get(word, word.replace(" ", "_"))
        ship_type = int(word)
    return _CODES.get(ship_type) or _TENS.get(ship_type // 10, "")


def vessel_key(mmsi: int) -> str:
    """The mover key of a vessel: `mmsi-` and nine digits."""
    return f"mmsi-{mmsi:09d}"
