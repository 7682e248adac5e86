import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.licences import Policy, allows, policy

SPDX = {"MIT", "BSD-3-Clause", "Apache-2.0"}
ALLOWED = SPDX | {"MIT License", "Mozilla Public License 2.0 (MPL 2.0)"}
REFUSED = {"GPL-3.0-only", "AGPL-3.0-or-later", "UNKNOWN", "Other/Proprietary License", "MET"}


def package(name: str, *, expression: str = "UNKNOWN", classifier: str = "UNKNOWN", metadata: str = "UNKNOWN") -> dict:
    return {
        "Name": name,
        "Version": "1.0",
        "License-Expression": expression,
        "License-Classifier": classifier,
        "License-Metadata": metadata,
    }


@pytest.mark.parametrize(
    ("stated", "met"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", True),
        ("MIT AND (GPL-3.0-only OR (AGPL-3.0-or-later AND MIT))", False),
        ("(MIT)", True),
        ("Mozilla Public License 2.0 (MPL 2.0); MIT License", True),
        ("MIT License; GNU General Public License v3 (GPLv3)", False),
        ("GPL-3.0-only WITH MIT", False),
        ("", False),
    ],
)
def test_an_expression_is_met_by_allowed_licences_only(stated: str, *, met: bool) -> None:
    assert allows(stated, ALLOWED) is met


@given(st.lists(st.sampled_from(sorted(SPDX | REFUSED)), min_size=1, max_size=6))
def test_all_of_several_must_be_allowed_and_one_of_alternatives(licences: list[str]) -> None:
    assert allows(" AND ".join(licences), ALLOWED) is all(licence in ALLOWED for licence in licences)
    assert allows(" OR ".join(licences), ALLOWED) is any(licence in ALLOWED for licence in licences)


@pytest.mark.parametrize(
    "odd",
    [
        package("odd"),
        package("odd", expression="GPL-3.0-only", classifier="MIT License"),
        package("odd", classifier="Other/Proprietary License", metadata="MIT"),
        package("odd", metadata="as is"),
    ],
)
def test_a_package_whose_licence_is_not_in_the_list_is_refused_with_it(odd: dict) -> None:
    stated = [odd[source] for source in ("License-Expression", "License-Classifier", "License-Metadata")]
    assert policy().refuses(odd) == next((one for one in stated if one != "UNKNOWN"), "UNKNOWN")


def test_a_licence_that_was_read_stands_for_what_the_metadata_do_not_say() -> None:
    rules = Policy(ALLOWED, {"odd-one": "MIT"})
    assert rules.refuses(package("Odd_One", metadata="see the file")) is None
    assert rules.refuses(package("other", metadata="see the file")) == "see the file"
