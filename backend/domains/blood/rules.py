"""Which blood may be given to whom, and what it costs the others.

Sources: red cells, plasma and platelets after Australian Red Cross Lifeblood's compatibility tables; Bombay phenotype
(`Oh`, no H antigen, strong anti-H) after the reports that its red cells are replaced by Oh red cells only. Oh is kept
to itself for every component: that a donor exists must reach a transfusion specialist, never be settled by a match.
"""

from typing import Final

import numpy as np

from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Codes, Component, Flags, Floats

BOMBAY: Final = GROUP_CODE["Oh"]

GROUP_SHARES: Final = {
    "O-": 0.0180,
    "O+": 0.4010,
    "A-": 0.0140,
    "A+": 0.2430,
    "B-": 0.0162,
    "B+": 0.2560,
    "AB-": 0.0040,
    "AB+": 0.0440,
    "Oh": 2 / 43_103,
}
"""Share of donors by group: 43,103 donors of Dakshina Kannada, the district next to Kerala; AB- corrected to the
paper's own ABO total. They sum to 0.996 because each was rounded."""

_A = np.array(["A" in name for name in BLOOD_GROUPS])
_B = np.array(["B" in name for name in BLOOD_GROUPS])
_D = np.array([name.endswith("+") for name in BLOOD_GROUPS])
_OH = np.arange(len(BLOOD_GROUPS)) == BOMBAY
_SAME_ABO = (_A[:, None] == _A) & (_B[:, None] == _B) & (_OH[:, None] == _OH)


def _compatibility() -> Flags:
    """Answer every question once: (3, 9, 9), by component, recipient and donor."""
    bombay_apart = _OH[:, None] == _OH
    gives_no_foreign_a_or_b = (~_A | _A[:, None]) & (~_B | _B[:, None])
    gives_no_foreign_d = ~_D | _D[:, None]
    # Plasma carries antibodies against the antigens its donor lacks, so the donor must have those of the recipient.
    gives_no_antibodies = (_A | ~_A[:, None]) & (_B | ~_B[:, None])
    table = np.empty((len(Component), len(BLOOD_GROUPS), len(BLOOD_GROUPS)), dtype=np.bool_)
    table[Component.RED_CELLS] = gives_no_foreign_a_or_b & gives_no_foreign_d & bombay_apart
    table[Component.PLASMA] = gives_no_antibodies & bombay_apart
    table[Component.PLATELETS] = bombay_apart
    table.flags.writeable = False
    return table


_COMPATIBLE: Final = _compatibility()


def compatible_groups(recipient: int, component: Component) -> Flags:
    """Return for each donor group (9,) whether `component` may be given to the group code `recipient`."""
    compatible: Flags = _COMPATIBLE[component, recipient]
    return compatible


def can_donate(donor: int, recipient: int, component: Component) -> bool:
    """Return whether `component` of the group code `donor` may be given to the group code `recipient`."""
    return bool(_COMPATIBLE[component, recipient, donor])


def _scarcity() -> Floats:
    """Work out every cost once: (3, 9, 9), by component, recipient and donor."""
    shares = np.array([GROUP_SHARES[name] for name in BLOOD_GROUPS])
    supply = _COMPATIBLE @ (shares / shares.sum())  # (component, recipient): the share of donors who could give
    common = supply[:, :BOMBAY]
    scale = np.log(common.max(axis=1) / common.min(axis=1))
    spent = np.log(supply[:, :, None] / supply[:, None, :])
    costs = np.where(_COMPATIBLE, spent / np.where(scale > 0.0, scale, 1.0)[:, None, None], np.inf)
    costs.flags.writeable = False
    return costs


_SCARCITY: Final = _scarcity()


def scarcity(donor: int, recipient: int, component: Component = Component.RED_CELLS) -> float:
    """Return what giving `donor`'s unit to `recipient` takes from others: 0 like for like, at most 1, inf if unfit.

    With `supply(g)` the share of donors who could give to `g`, the cost is log(supply(recipient) / supply(donor)): the
    donor's own group is the neediest one the unit could serve. It is scaled by the widest such gap between two groups,
    so O- red cells cost 1 for AB+, 0.1 for A-, and 0 for O-. Our own definition; no service publishes one.
    """
    return float(_SCARCITY[component, recipient, donor])


def platelet_preference(recipient: int, *, avoid_d_exposure: bool) -> Codes:
    """Return for each donor group (9,) its place in the order of choice for platelets, 0 first, -1 unsuitable.

    ABO-identical comes first; D-negative recipients prefer D-negative platelets, and when they must not form anti-D
    (`avoid_d_exposure`: girls and women who may bear children), that comes before ABO.
    """
    other_abo = (~_SAME_ABO[recipient]).astype(np.int8)
    exposes_to_d = (_D & ~_D[recipient]).astype(np.int8)
    order = other_abo + 2 * exposes_to_d if avoid_d_exposure else 2 * other_abo + exposes_to_d
    return np.where(_COMPATIBLE[Component.PLATELETS, recipient], order, np.int8(-1))


def substitution_costs(recipient: int, component: Component, *, avoid_d_exposure: bool = True) -> Floats:
    """Return for each donor group (9,) a cost in [0, 1] for the ranking: 0 the first choice, inf unsuitable.

    Red cells and plasma: `scarcity`. Platelets, which anyone may give: the place in `platelet_preference` of 3, the
    cautious order unless the caller knows the recipient.
    """
    costs: Floats = _SCARCITY[component, recipient]
    if component == Component.PLATELETS:
        order = platelet_preference(recipient, avoid_d_exposure=avoid_d_exposure)
        costs = np.where(order < 0, np.inf, order / 3.0)
    return costs
