import re
from typing import Any

import pytest
import yaml

from backend.settings import PROJECT

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"api", "worker-interactive", "worker-batch", "worker-outbound", "beat", "flower", "migrate"}
SECRETS = {"SANGUINE_SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "FLOWER_PASSWORD"}


def test_it_has_every_process_and_what_they_need() -> None:
    assert set(SERVICES) == OURS | {"postgres", "valkey"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_every_service_that_stays_has_a_health_check_and_comes_back_after_a_crash(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_no_service_runs_as_root() -> None:
    instructions = (PROJECT / "Dockerfile").read_text().splitlines()
    assert "USER sanguine" in instructions
    assert all(SERVICES[name]["build"] == "." and "user" not in SERVICES[name] for name in OURS)
    assert {SERVICES[name]["user"] for name in ("postgres", "valkey")} == {"postgres", "valkey"}


def test_our_services_can_write_only_to_their_data_and_gain_no_privileges() -> None:
    for name in OURS:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_everything_that_must_survive_is_in_a_named_volume() -> None:
    for name, service in SERVICES.items():
        volumes = {volume.partition(":")[0] for volume in service["volumes"]}
        assert volumes <= set(COMPOSE["volumes"]), name


def test_secrets_come_from_the_environment_without_defaults_and_the_example_names_them() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == SECRETS
    assert len(re.findall(r"(?<!\$)\$\{", text)) == len(re.findall(r"\$\{\w+:\?", text))
    example = (PROJECT / ".env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, flags=re.MULTILINE)) == SECRETS


def test_nothing_listens_beyond_this_host() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000", "127.0.0.1:5555:5555"]


def test_the_workers_consume_every_queue_of_run_py() -> None:
    def queues(text: str) -> set[str]:
        return {queue for names in re.findall(r"-Q (\S+)", text) for queue in names.split(",")}

    development = (PROJECT / "backend/ops/supervisord.conf").read_text()
    production = " ".join(service.get("command", "") for name, service in SERVICES.items() if name in OURS)
    assert queues(production) == queues(development) != set()


def test_processes_start_after_the_migration_on_a_healthy_database() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
