import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ArtifactError, SettingsError, Unavailable
from backend.jobs.states import JobState
from backend.logs import configure_logging
from backend.security.redaction import NUMBERS, TEXTS, Redaction
from backend.settings import Settings

OURS = structlog.get_logger("backend.jobs.submit")
THEIRS = logging.getLogger("urllib3.connectionpool")
CANARIES = st.from_regex(r"canary[a-z]{12}", fullmatch=True)
PERSONAL = st.one_of(
    CANARIES,
    st.builds("Mrs {} of Kochi".format, CANARIES),
    st.builds(lambda canary: {"name": canary, canary: 1}, CANARIES),
    st.builds(lambda canary: [{"phones": [canary]}], CANARIES),
    st.builds(lambda canary: (canary, [canary]), CANARIES),
    st.builds(str.encode, CANARIES),
)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Said"]:
    folder = tmp_path_factory.mktemp("installation")
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    configured = structlog.get_config()
    configure_logging(
        Settings(
            environment="production",
            secret_key="s" * 40,
            database_url="postgresql://x/y",
            broker_url="redis://x/0",
            data_dir=folder,
            log_level="DEBUG",
            _env_file=None,
        )
    )
    written = io.StringIO()
    root.handlers[0].setStream(written)
    yield Said(written)
    root.handlers, root.level = before, level
    structlog.configure(**configured)


class Said:
    """What has been logged since the last look."""

    def __init__(self, written: io.StringIO) -> None:
        self._written = written

    def text(self) -> str:
        text = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        return text

    def line(self) -> dict[str, Any]:
        (line,) = self.text().splitlines()
        fields: dict[str, Any] = json.loads(line)
        return fields


def canary_of(value: object) -> str:
    text = str(value)
    begin = text.index("canary")
    return text[begin : begin + 18]


@given(value=PERSONAL, name=st.sampled_from(["name", "phone", "note", "donor", "account", "reason", "positional_args"]))
def test_a_value_of_a_field_that_is_not_known_to_be_safe_is_hashed(said: Said, value: object, name: str) -> None:
    OURS.info("job_submitted", **{name: value})
    text = said.text()
    assert canary_of(value) not in text
    assert "hashed:" in text


@given(value=PERSONAL, name=st.sampled_from(sorted(NUMBERS | TEXTS.keys() - {"level", "logger", "timestamp"})))
def test_a_safe_name_lets_no_other_form_through(said: Said, value: object, name: str) -> None:
    said.text()
    spaced = f"Mrs {canary_of(value)} " if isinstance(value, str) else value
    OURS.warning("job_submitted", **{name: {"spaced": spaced}})
    assert canary_of(value) not in said.text()


@given(canary=CANARIES)
def test_an_event_is_a_text_of_the_source(said: Said, canary: str) -> None:
    OURS.info(canary)
    OURS.info(f"donor {canary} was found")
    OURS.info("donor %s was found", canary)
    OURS.info("job_submitted", **{f"Name {canary}": 1})
    assert canary not in said.text()


@given(canary=CANARIES)
def test_errors_are_told_without_their_texts(said: Said, canary: str) -> None:
    def fail(local: str) -> None:
        try:
            {}[local]
        except KeyError as error:
            error.add_note(local)
            raise Unavailable(f"the donor {local} cannot be reached") from error

    try:
        fail(canary)
    except Unavailable as error:
        OURS.exception("job_failed")
        OURS.error("job_failed", reason=error, error=str(error), exc_info=error)
        THEIRS.exception("request failed for %s", canary)
        THEIRS.error(error)
    assert canary not in said.text()


@given(canary=CANARIES, number=st.integers(6_000_000_000, 9_999_999_999))
def test_messages_of_libraries_are_told_without_their_arguments(said: Said, canary: str, number: int) -> None:
    THEIRS.warning("Retrying after connection broken by %r: %s %d", KeyError(canary), canary, number)
    THEIRS.warning("of %(name)s", {"name": canary})
    THEIRS.warning(f"GET /donors?name={canary}")  # as libraries do
    THEIRS.warning("GET /donors?name=" + canary)
    THEIRS.warning(canary, extra={"phone": canary}, stack_info=True)
    logging.getLogger("gunicorn.error").error("Error handling request %s", f"/donors?name={canary}")
    text = said.text()
    assert canary not in text
    assert str(number) not in text


@given(st.sampled_from(["kind", "name"]), st.booleans() | st.none() | st.integers() | st.floats(allow_nan=False))
def test_numbers_pass_under_names_of_numbers_only(said: Said, other: str, value: object) -> None:
    OURS.info("job_submitted", seconds=value, **{other: value})
    line = said.line()
    assert line["seconds"] == value
    assert line[other] is None if (value, other) == (None, "kind") else line[other].startswith("hashed:")


def test_ids_choices_and_lists_of_them_pass(said: Said) -> None:
    job_id = uuid4()
    said.text()
    OURS.info(
        "job_submitted",
        job_id=job_id,
        replay=str(job_id),
        state=JobState.DEAD,
        kind="blood.match",
        queues=["batch", "maintenance"],
        worker="interactive@host-1.local",
        attempts=[f"{job_id}/2"],
        fire_at="2026-11-22T06:30:00+00:00",
        version="2026.11-3",
        error="OperationalError",
    )
    line = said.line()
    assert (line["job_id"], line["replay"]) == (str(job_id), str(job_id))
    assert (line["state"], line["kind"], line["queues"]) == ("dead", "blood.match", ["batch", "maintenance"])
    assert (line["worker"], line["attempts"]) == ("interactive@host-1.local", [f"{job_id}/2"])
    assert (line["fire_at"], line["version"]) == ("2026-11-22T06:30:00+00:00", "2026.11-3")
    assert line["error"] == "OperationalError"
    assert (line["event"], line["level"], line["logger"]) == ("job_submitted", "info", "backend.jobs.submit")


def test_what_is_bound_once_is_in_every_line(said: Said) -> None:
    said.text()
    with structlog.contextvars.bound_contextvars(request_id="0123456789abcdef", patient="canary"):
        OURS.info("job_submitted")
        ours = said.line()
        THEIRS.warning("Connection pool is full")
        theirs = said.line()
    for line in (ours, theirs):
        assert line["request_id"] == "0123456789abcdef"
        assert line["patient"].startswith("hashed:")


def test_a_reason_is_an_error_or_a_text_of_the_source(said: Said) -> None:
    said.text()
    OURS.warning("ring_dropped", reason="the backlog is full")
    assert said.line()["reason"] == "the backlog is full"
    OURS.warning("ring_dropped", reason=f"the backlog has {uuid4()}")
    assert said.line()["reason"].startswith("hashed:")


def test_an_error_says_where_it_was_raised_and_what_was_behind_it(said: Said) -> None:
    said.text()
    try:
        try:
            raise FileNotFoundError("canary")
        except OSError as error:
            raise ArtifactError(f"weights of {error} are missing") from error
    except ArtifactError as error:
        OURS.warning("model_not_loaded", reason=error)
    reason = said.line()["reason"]
    assert (reason["error"], reason["code"], reason["because"]) == (
        "ArtifactError",
        "bad_artifact",
        ["FileNotFoundError"],
    )
    assert reason["source"] == 'raise ArtifactError(f"weights of {error} are missing") from error'
    place = "tests/unit/security/test_redaction.py:"
    assert [at.partition(place)[0] for at in reason["at"]] == [""]
    assert reason["at"][0].endswith(" test_an_error_says_where_it_was_raised_and_what_was_behind_it")


def test_an_error_whose_class_says_so_is_told_with_its_text(said: Said) -> None:
    said.text()
    OURS.critical("process_ended", reason=SettingsError("SANGUINE_TIMEZONE: unknown time zone"))
    assert said.line()["reason"]["text"] == "SANGUINE_TIMEZONE: unknown time zone"


def test_libraries_messages_keep_their_form_and_place(said: Said) -> None:
    said.text()
    THEIRS.warning("Retrying (%s) after %r", 3, OSError("canary"))
    line = said.line()
    assert (line["event"], line["logger"]) == ("Retrying (%s) after %r", "urllib3.connectionpool")
    assert line["args"][1] == "OSError"
    assert "test_redaction.py:" in line["at"]


def test_start_lines_are_told_whole(said: Said) -> None:
    said.text()
    logging.getLogger("gunicorn.error").info("Listening at: %s (%s)", "http://127.0.0.1:8000", 4711)
    assert said.line()["event"] == "Listening at: http://127.0.0.1:8000 (4711)"
    lost = "consumer: Cannot connect to %s: %s.\n%s\n"
    error = ConnectionError("canary")
    logging.getLogger("celery.worker.consumer.consumer").error(lost, "redis://:**@b/0", error, "Trying again")
    assert said.line()["event"] == "consumer: Cannot connect to redis://:**@b/0: ConnectionError.\nTrying again\n"


def test_equal_values_have_equal_hashes_in_one_installation_only(tmp_path: Path) -> None:
    one, other = (Redaction(Settings(data_dir=tmp_path / name, _env_file=None)) for name in ("one", "other"))
    assert one.hashed("9847012345") == one.hashed(9847012345) != one.hashed("9847012346")
    assert one.hashed("9847012345") != other.hashed("9847012345")
    assert len(one.hashed(UUID(int=0))) == len("hashed:") + 12


def test_a_line_that_cannot_be_written_is_lost_without_its_content(
    said: Said, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError("canary")

    written = io.StringIO()
    monkeypatch.setattr("sys.__stderr__", written)
    OURS.info("job_submitted", name=Unprintable(), note="canary")
    assert json.loads(written.getvalue()) == {
        "event": "log_line_lost",
        "logger": "backend.jobs.submit",
        "error": "ValueError",
    }
    assert said.text() == ""
    assert capsys.readouterr().err == ""
