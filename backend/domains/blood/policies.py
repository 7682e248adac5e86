"""Who may donate and how often, by country: published values, dated, with their source.

A value that its source does not state is None and is not checked; what we supply ourselves is listed in `assumed`.
Ages are in completed years: a maximum of 65 holds until the 66th birthday.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from backend.domains.blood.records import Component


class BySex(NamedTuple):
    """A threshold for women and for men."""

    female: float
    male: float

    @property
    def by_code(self) -> tuple[float, float, float]:
        """The threshold by `Sex` code; a donor of unknown sex meets the stricter one, here always the larger."""
        return (self.female, self.male, max(self.female, self.male))


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What one kind of donation asks of a donor."""

    minimum_age: int
    maximum_age: int | None
    maximum_age_first_time: int | None
    minimum_weight_kg: float | None
    minimum_hemoglobin_g_dl: BySex | None
    days_since_whole_blood: BySex

    @property
    def first_time_limit(self) -> int | None:
        """The last year of age for a first donation; a source without one means the general maximum."""
        return self.maximum_age if self.maximum_age_first_time is None else self.maximum_age_first_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One country's published rules in one edition."""

    code: str
    authority: str
    edition: str
    source: str
    whole_blood: Criteria
    apheresis: Criteria
    assumed: tuple[str, ...] = ()

    def criteria(self, component: Component) -> Criteria:
        """Return what giving `component` asks: platelets come from apheresis, red cells and plasma from whole blood."""
        return self.apheresis if component == Component.PLATELETS else self.whole_blood


INDIA: Final = Policy(
    code="IN-NBTC-2017",
    authority="National Blood Transfusion Council, India",
    edition="2017",
    source="Guidelines for blood donor selection and blood donor referral, NBTC 2017",
    whole_blood=Criteria(
        minimum_age=18,
        maximum_age=65,
        maximum_age_first_time=60,
        minimum_weight_kg=45.0,
        minimum_hemoglobin_g_dl=BySex(12.5, 12.5),
        days_since_whole_blood=BySex(female=120, male=90),
    ),
    apheresis=Criteria(
        minimum_age=18,
        maximum_age=60,
        maximum_age_first_time=60,
        minimum_weight_kg=50.0,
        minimum_hemoglobin_g_dl=BySex(12.5, 12.5),
        days_since_whole_blood=BySex(28, 28),
    ),
)

_WHO_WHOLE_BLOOD = Criteria(
    minimum_age=18,
    maximum_age=65,
    maximum_age_first_time=None,
    minimum_weight_kg=50.0,
    minimum_hemoglobin_g_dl=BySex(female=12.0, male=13.0),
    days_since_whole_blood=BySex(female=112, male=84),
)
WHO: Final = Policy(
    code="WHO-2012",
    authority="World Health Organization",
    edition="2012",
    source="Blood donor selection: guidelines on assessing donor suitability for blood donation, WHO 2012",
    whole_blood=_WHO_WHOLE_BLOOD,
    apheresis=_WHO_WHOLE_BLOOD,
    assumed=("intervals of 12 and 16 weeks", "apheresis after whole blood: the whole-blood interval"),
)

_US_WHOLE_BLOOD = Criteria(
    minimum_age=18,
    maximum_age=None,
    maximum_age_first_time=None,
    minimum_weight_kg=None,
    minimum_hemoglobin_g_dl=None,
    days_since_whole_blood=BySex(56, 56),
)
UNITED_STATES: Final = Policy(
    code="US-FDA",
    authority="Food and Drug Administration, United States",
    edition="21 CFR 640.3, 630.15",
    source="Code of Federal Regulations, title 21: whole blood no more than once in 8 weeks",
    whole_blood=_US_WHOLE_BLOOD,
    apheresis=_US_WHOLE_BLOOD,
    assumed=("minimum age 18", "apheresis after whole blood: the whole-blood interval"),
)

_UK_WHOLE_BLOOD = Criteria(
    minimum_age=17,
    maximum_age=None,
    maximum_age_first_time=65,
    minimum_weight_kg=50.0,
    minimum_hemoglobin_g_dl=BySex(female=12.5, male=13.5),
    days_since_whole_blood=BySex(female=112, male=84),
)
UNITED_KINGDOM: Final = Policy(
    code="UK-JPAC",
    authority="Joint UK Blood Transfusion and Tissue Transplantation Services Professional Advisory Committee",
    edition="Whole Blood and Components Donor Selection Guidelines",
    source="transfusionguidelines.org: age, weight, haemoglobin and frequency of donation",
    whole_blood=_UK_WHOLE_BLOOD,
    apheresis=_UK_WHOLE_BLOOD,
    assumed=("apheresis after whole blood: the whole-blood interval", "no limit at 72 for donors who return late"),
)

POLICIES: Final[Mapping[str, Policy]] = MappingProxyType(
    {policy.code: policy for policy in (INDIA, WHO, UNITED_STATES, UNITED_KINGDOM)}
)
DEFAULT_POLICY: Final = INDIA
