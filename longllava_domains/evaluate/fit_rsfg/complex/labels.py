"""The object classes and relations of FIT-RS, in the order of the official scorer's numbers.

They are those of the STAR data set (arXiv 2406.09410): 48 classes, 58 relations.
"""

from typing import Final

OBJECTS: Final[tuple[str, ...]] = (
    *("airplane", "boat", "taxiway", "boarding_bridge", "tank", "ship", "crane", "car"),
    *("apron", "dock", "storehouse", "goods_yard", "truck", "terminal", "runway"),
    *("breakwater", "car_parking", "bridge", "cooling_tower", "truck_parking", "chimney"),
    *("vapor", "coal_yard", "genset", "smoke", "gas_station", "lattice_tower", "substation"),
    *("containment_vessel", "flood_dam", "ship_lock", "gravity_dam", "arch_dam"),
    *("cement_concrete_pavement", "toll_gate", "tower_crane", "engineering_vehicle"),
    *("unfinished_building", "foundation_pit", "wind_mill", "intersection", "roundabout"),
    *("ground_track_field", "soccer_ball_field", "basketball_court", "tennis_court"),
    *("baseball_diamond", "stadium"),
)
"""Object classes; the position is the official number."""

RELATIONS: Final[tuple[str, ...]] = (
    *("over", "not co-storage with", "connect", "parallelly parked on", "intersect"),
    *("co-storage with", "converge", "parallelly docked at", "adjacent"),
    *("within safe distance of", "through", "approach", "away from", "randomly parked on"),
    *("run along", "isolatedly parked on", "around", "randomly docked at", "drive off"),
    *("drive toward", "within danger distance of", "supply to", "isolatedly docked at"),
    *("pass across", "not run along", "slightly emit", "exhaust to", "violently emit"),
    *("incorrectly parked on", "pass under", "directly transmit electricity to"),
    *("indirectly transmit electricity to", "pass through", "within same line of"),
    *("within different line of", "directly connected to", "indirectly connected to"),
    *("driving in the same direction with", "driving in the opposite direction with"),
    *("driving alongside with", "driving in the same lane with"),
    *("driving in the different lane with", "working on", "not working on"),
    *("parked alongside with", "not parked alongside with", "in the same parking with"),
    *("in the different parking with", "parking in the same apron with"),
    *("parking in the different apron with", "running along the same taxiway with"),
    *("running along the different taxiway with", "running along the different runway with"),
    *("docking at the same breakwater with", "docking at the same dock with"),
    *("docking at the different dock with", "docked alongside with"),
    "not docked alongside with",
)
"""Relations; the position is the official number."""

OBJECT_NUMBER: Final = {name: number for number, name in enumerate(OBJECTS)}
RELATION_NUMBER: Final = {name: number for number, name in enumerate(RELATIONS)}


def without_plural(name: str) -> str:
    """Cut one trailing "s", as the official scorer does outside task 1."""
    return name.removesuffix("s")


def tidy(name: str) -> str:
    """Return a name in lower case with single spaces, for comparison by name."""
    return " ".join(name.casefold().split())


def object_name(name: str) -> str:
    """Return an object's name, tidied and in the singular; a known name is left as it is."""
    found = tidy(name).replace(" ", "_")
    return found if found in OBJECT_NUMBER else without_plural(found)
