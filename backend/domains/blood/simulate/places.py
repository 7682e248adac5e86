"""Where people live and blood is given: towns of Kerala, and invented hospitals in them."""

from dataclasses import dataclass

import numpy as np

from backend.domains.blood.geography import DISTRICT_CODE, DISTRICTS
from backend.domains.blood.records import Codes, Floats

TOWNS = {
    "Thiruvananthapuram": ((8.52, 76.94), (8.40, 77.09), (8.70, 76.81), (8.60, 77.00), (8.73, 76.71)),
    "Kollam": ((8.89, 76.61), (9.05, 76.54), (9.00, 76.77), (9.02, 76.92)),
    "Pathanamthitta": ((9.26, 76.79), (9.38, 76.57), (9.15, 76.73), (9.38, 76.79)),
    "Alappuzha": ((9.49, 76.34), (9.68, 76.34), (9.17, 76.50), (9.32, 76.61), (9.28, 76.46)),
    "Kottayam": ((9.59, 76.52), (9.44, 76.54), (9.71, 76.68), (9.75, 76.40), (9.56, 76.79)),
    "Idukki": ((9.90, 76.72), (9.75, 77.12), (10.09, 77.06), (10.01, 76.95)),
    "Ernakulam": ((9.97, 76.28), (10.11, 76.35), (10.11, 76.48), (9.98, 76.58), (10.06, 76.63)),
    "Thrissur": ((10.52, 76.21), (10.31, 76.33), (10.65, 76.07), (10.34, 76.21), (10.23, 76.20)),
    "Palakkad": ((10.78, 76.65), (10.77, 76.38), (10.99, 76.46), (10.70, 76.75)),
    "Malappuram": ((11.07, 76.07), (11.12, 76.12), (10.91, 75.92), (10.98, 76.23), (11.28, 76.23)),
    "Kozhikode": ((11.26, 75.78), (11.60, 75.59), (11.44, 75.70), (11.41, 75.94)),
    "Wayanad": ((11.61, 76.08), (11.66, 76.26), (11.80, 76.00)),
    "Kannur": ((11.87, 75.37), (11.75, 75.49), (12.10, 75.20), (12.04, 75.36)),
    "Kasaragod": ((12.50, 74.99), (12.31, 75.09), (12.68, 74.90)),
}
"""Towns by district, the largest first, in degrees to about a kilometre."""

TEACHING_DISTRICTS = {"Thiruvananthapuram": 1.8, "Ernakulam": 2.1, "Kozhikode": 1.6, "Thrissur": 1.3, "Kottayam": 1.3}
"""Pull of the big hospitals: Ernakulam and Thiruvananthapuram lead in voluntary donations; sizes are assumptions."""


@dataclass(frozen=True, slots=True)
class Hospitals:
    """Places of donation, one row each; `weight` is the share of all requests."""

    name: tuple[str, ...]
    latitude: Floats
    longitude: Floats
    district: Codes
    weight: Floats

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, slots=True)
class Towns:
    """Where donors live, one row each; `weight` is the share of all donors."""

    latitude: Floats
    longitude: Floats
    district: Codes
    weight: Floats


def towns() -> Towns:
    """Return the towns, a district's people split in proportion to 1 / rank."""
    rows = [
        (*place, DISTRICT_CODE[district], DISTRICTS[DISTRICT_CODE[district]].population_thousands / rank / ranks)
        for district, places in TOWNS.items()
        for ranks in (sum(1.0 / r for r in range(1, len(places) + 1)),)
        for rank, place in enumerate(places, start=1)
    ]
    latitude, longitude, district, weight = np.array(rows).T
    return Towns(latitude, longitude, district.astype(np.int8), weight / weight.sum())


def hospitals() -> Hospitals:
    """Return one hospital a town and a second one in each first town; activity is concentrated, not like population."""
    rows = [
        (f"{district} Hospital {number}", *places[town], DISTRICT_CODE[district], _activity(district) / number**1.2)
        for district, places in TOWNS.items()
        for number, town in enumerate((0, *range(len(places))), start=1)
    ]
    names, *columns = zip(*rows, strict=True)
    latitude, longitude, district, weight = np.array(columns)
    return Hospitals(tuple(names), latitude, longitude, district.astype(np.int8), weight / weight.sum())


def _activity(district: str) -> float:
    population = DISTRICTS[DISTRICT_CODE[district]].population_thousands
    return float(np.sqrt(population)) * TEACHING_DISTRICTS.get(district, 1.0)
