"""Kerala's 14 districts, centroids, population and blood centres, and distances on the Earth.

Source: centroids computed from the public district boundaries of Kerala (geohacker/kerala GeoJSON); population, in
thousands, from the Census of India 2011 (state total 33,406 thousand); blood centres counted in India's directory of
blood banks (data.gov.in, as of about 2016; 179 in Kerala) by the district written there.
"""

from typing import NamedTuple

import numpy as np

from backend.domains.blood.records import Floats

TIME_ZONE = "Asia/Kolkata"
KILOMETRES_PER_DEGREE = 111.195  # of latitude, on a sphere of radius 6,371 km
EARTH_RADIUS_KM = 6371.0


class District(NamedTuple):
    """One district: centroid in degrees, population in thousands (2011), licensed blood centres (2016)."""

    name: str
    latitude: float
    longitude: float
    population_thousands: int
    blood_centres: int


DISTRICTS = (
    District("Thiruvananthapuram", 8.608, 77.015, 3301, 20),
    District("Kollam", 8.961, 76.875, 2635, 14),
    District("Pathanamthitta", 9.284, 76.929, 1197, 11),
    District("Alappuzha", 9.424, 76.450, 2128, 9),
    District("Kottayam", 9.637, 76.651, 1975, 17),
    District("Idukki", 9.882, 77.027, 1109, 9),
    District("Ernakulam", 10.058, 76.473, 3282, 24),
    District("Thrissur", 10.471, 76.316, 3121, 23),
    District("Palakkad", 10.795, 76.559, 2810, 5),
    District("Malappuram", 11.132, 76.156, 4113, 11),
    District("Kozhikode", 11.485, 75.834, 3086, 18),
    District("Wayanad", 11.711, 76.098, 817, 4),
    District("Kannur", 12.000, 75.526, 2523, 11),
    District("Kasaragod", 12.463, 75.154, 1307, 3),
)
DISTRICT_CODE = {district.name: code for code, district in enumerate(DISTRICTS)}


def distance_km(
    latitude: Floats, longitude: Floats, to_latitude: Floats | float, to_longitude: Floats | float
) -> Floats:
    """Return the great-circle distance in km by the haversine formula; degrees in, shapes broadcast."""
    lat, lon, to_lat, to_lon = map(np.radians, (latitude, longitude, to_latitude, to_longitude))
    h = np.sin((to_lat - lat) / 2) ** 2 + np.cos(lat) * np.cos(to_lat) * np.sin((to_lon - lon) / 2) ** 2
    return np.asarray(2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(h)))
