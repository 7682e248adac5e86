"""Kerala's 14 districts: centroids and population.

Source: centroids computed from the public district boundaries of Kerala (geohacker/kerala GeoJSON); population, in
thousands, from the Census of India 2011 (state total 33,406 thousand).
"""

from typing import NamedTuple

TIME_ZONE = "Asia/Kolkata"
KILOMETRES_PER_DEGREE = 111.195  # of latitude, on a sphere of radius 6,371 km
EARTH_RADIUS_KM = 6371.0


class District(NamedTuple):
    """One district: centroid in degrees, population in thousands (2011)."""

    name: str
    latitude: float
    longitude: float
    population_thousands: int


DISTRICTS = (
    District("Thiruvananthapuram", 8.608, 77.015, 3301),
    District("Kollam", 8.961, 76.875, 2635),
    District("Pathanamthitta", 9.284, 76.929, 1197),
    District("Alappuzha", 9.424, 76.450, 2128),
    District("Kottayam", 9.637, 76.651, 1975),
    District("Idukki", 9.882, 77.027, 1109),
    District("Ernakulam", 10.058, 76.473, 3282),
    District("Thrissur", 10.471, 76.316, 3121),
    District("Palakkad", 10.795, 76.559, 2810),
    District("Malappuram", 11.132, 76.156, 4113),
    District("Kozhikode", 11.485, 75.834, 3086),
    District("Wayanad", 11.711, 76.098, 817),
    District("Kannur", 12.000, 75.526, 2523),
    District("Kasaragod", 12.463, 75.154, 1307),
)
DISTRICT_CODE = {district.name: code for code, district in enumerate(DISTRICTS)}
