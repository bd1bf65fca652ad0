"""When the wheels of a tram have to be turned on the lathe, and when they have to be replaced."""

from __future__ import annotations

NEW_DIAMETER_MM = 780.0
SCRAP_DIAMETER_MM = 710.0
LATHE_CUT_MM = 6.0


def wear_per_1000_km(diameter_mm: float, kilometres: float) -> float:
    """Millimetres of diameter that a wheel loses in 1,000 kilometres, since it was new."""
    if kilometres <= 0:
        raise ValueError("a wheel that has not run yet has no wear")
    return (NEW_DIAMETER_MM - diameter_mm) / kilometres * 1000


def kilometres_until_scrap(diameter_mm: float, wear_mm: float) -> float:
    """How far a wheel can still run before it reaches the scrap diameter of 710 millimetres."""
    return max(0.0, diameter_mm - SCRAP_DIAMETER_MM) / wear_mm * 1000


def turns_left(diameter_mm: float) -> int:
    """How often a wheel can still be turned; each turn takes 6 millimetres off the diameter."""
    return max(0, int((diameter_mm - SCRAP_DIAMETER_MM) // LATHE_CUT_MM))


def flange_is_sharp(height_mm: float, thickness_mm: float) -> bool:
    """Whether a flange may climb a point blade: higher than 22 mm or thinner than 16 mm."""
    return height_mm > 22.0 or thickness_mm < 16.0
