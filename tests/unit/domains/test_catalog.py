import json

import pytest

from backend.domains import catalog
from backend.errors import NotFound
from backend.settings import PROJECT


def test_every_kind_is_named_after_its_domain():
    for domain in catalog.domains():
        assert all(kind.name.startswith(f"{domain.name}.") for kind in domain.job_kinds)


def test_kinds_are_found_by_name():
    kind = catalog.job_kinds()[0]
    assert catalog.find_job_kind(kind.name) is kind
    with pytest.raises(NotFound, match=r"blood\.guess"):
        catalog.find_job_kind("blood.guess")


def test_the_models_that_domains_need_are_committed():
    committed = json.loads((PROJECT / "models_artifacts" / "model_map.json").read_text())["models"]
    assert set(catalog.model_names()) <= set(committed)
