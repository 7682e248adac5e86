import json

from backend.domains import catalog
from backend.settings import PROJECT


def test_every_kind_is_named_after_its_domain():
    for domain in catalog.domains():
        assert all(kind.name.startswith(f"{domain.name}.") for kind in domain.job_kinds)


def test_the_models_that_domains_need_are_committed():
    committed = json.loads((PROJECT / "models_artifacts" / "model_map.json").read_text())["models"]
    assert set(catalog.model_names()) <= set(committed)
