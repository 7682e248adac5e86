"""The description of the whole service's API."""

import re
from collections import Counter

import pytest

from tests.unit.batches.file_service import FileService

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def description(service: FileService):
    return service.client.get("/openapi.json").json


def operations(description):
    return [
        (path, method, described)
        for path, methods in description["paths"].items()
        for method, described in methods.items()
    ]


def nodes(node):
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from nodes(child)


def references(node) -> set[str]:
    return {one["$ref"] for one in nodes(node) if isinstance(one, dict) and "$ref" in one}


def test_every_route_is_described_and_every_description_is_a_route(service: FileService, description):
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in service.app.url_map.iter_rules()
        if rule.rule.startswith(("/api/ml", "/v2"))
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert {(path, method) for path, method, _ in operations(description)} == routes


def test_every_reference_resolves(description):
    schemas = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert references(description) <= schemas


def test_every_operation_has_its_own_name_a_summary_and_an_answer(description):
    names = Counter(described["operationId"] for _, _, described in operations(description))
    assert max(names.values()) == 1
    for _, method, described in operations(description):
        assert method in METHODS
        assert described["summary"]
        assert described["tags"]
        assert {"200", "201", "202", "204"} & described["responses"].keys()


def test_what_a_path_names_is_a_parameter_of_it_once(description):
    for path, _, described in operations(description):
        parameters = described.get("parameters", [])
        in_path = [one["name"] for one in parameters if one["in"] == "path"]
        assert sorted(in_path) == sorted(re.findall(r"{(\w+)}", path)), path
        assert max(Counter((one["in"], one["name"]) for one in parameters).values(), default=1) == 1
        assert all(one["required"] for one in parameters if one["in"] == "path")


def test_refusals_are_problems(description):
    for path, _, described in operations(description):
        for status, answer in described["responses"].items():
            if status >= "400" and not path.startswith(("/api/ml/health", "/v2")):
                (content,) = answer["content"].items()
                assert content == (
                    "application/problem+json",
                    {"schema": {"$ref": "#/components/schemas/Problem"}},
                )


def test_refusals_of_the_open_inference_protocol_have_its_form(description):
    refused = [
        answer["content"]
        for path, _, described in operations(description)
        for status, answer in described["responses"].items()
        if status >= "400" and path.startswith("/v2") and not path.endswith("/ready")
    ]
    assert refused
    form = {"application/json": {"schema": {"$ref": "#/components/schemas/ProtocolError"}}}
    assert all(content == form for content in refused)


def test_uploads_take_the_three_formats_and_batches_rows_as_well(description):
    formats = {"text/csv", "application/x-ndjson", "application/vnd.apache.parquet"}
    paths = description["paths"]
    assert set(paths["/api/ml/imports/{name}"]["post"]["requestBody"]["content"]) == formats
    assert set(paths["/api/ml/batches"]["post"]["requestBody"]["content"]) == formats | {"application/json"}
    named = {one["name"] for one in paths["/api/ml/batches"]["post"]["parameters"]}
    assert {"model", "scorer", "format", "as_of"} <= named


def test_a_patch_describes_what_may_change_and_needs_none_of_it(description):
    change = description["components"]["schemas"]["DonorChange"]
    assert change["additionalProperties"] is False
    assert "required" not in change
    assert "external_id" not in change["properties"]
    limits = change["properties"]["latitude"]
    assert (limits["minimum"], limits["maximum"]) == (-90.0, 90.0)


def test_the_status_codes_that_come_are_described(service: FileService, description):
    donors = description["paths"]["/api/ml/donors"]
    assert {"200", "201", "400", "409", "413", "415", "422", "503"} <= donors["post"]["responses"].keys()
    one = description["paths"]["/api/ml/donors/{record_id}"]
    assert {"200", "404", "422"} <= one["patch"]["responses"].keys()
    sent = description["paths"]["/api/ml/jobs/{job_id}/files/{role}"]["get"]["responses"]
    assert {"200", "206", "304", "404", "410", "416"} <= sent.keys()


def test_every_operation_says_what_it_asks_for(description):
    paths = description["paths"]
    assert description["security"] == [{"bearer": []}]
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    opened = {path for path, _, described in operations(description) if described["security"] == []}
    assert {"/api/ml/auth/login", "/api/ml/auth/refresh", "/api/ml/health/live"} <= opened
    assert paths["/api/ml/jobs"]["get"]["security"] == [{"bearer": ["predict"]}]
    assert paths["/api/ml/auth/me"]["get"]["security"] == [{"bearer": []}]
    for _, _, described in operations(description):
        asked = described["security"]
        assert not asked or "401" in described["responses"]
        assert ("403" in described["responses"]) is bool(asked and asked[0]["bearer"])


def test_the_security_schemes_are_those_that_operations_name(description):
    named = {name for _, _, described in operations(description) for one in described["security"] for name in one}
    assert named == set(description["components"]["securitySchemes"])
