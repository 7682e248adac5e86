import multiprocessing
import stat
from pathlib import Path

import pytest

from backend.errors import SettingsError
from backend.security import secret
from backend.security.secret import FILE, derive
from backend.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    secret._of_folder.cache_clear()


def settings(folder: Path, named: str = "") -> Settings:
    return Settings(data_dir=folder, secret_key=named, _env_file=None)


def derive_in_a_process(folder: Path) -> bytes:
    return derive(settings(folder), "test")


def test_each_purpose_has_a_key_of_its_own_that_outlives_a_restart(tmp_path: Path):
    keys = {derive(settings(tmp_path, "k" * 40), purpose) for purpose in ("one", "another", "one")}
    assert [len(key) for key in keys] == [32, 32]


def test_a_named_secret_is_stored_nowhere(tmp_path: Path):
    derive(settings(tmp_path, "k" * 40), "test")
    assert list(tmp_path.iterdir()) == []


def test_a_development_machine_makes_its_own_which_only_its_user_reads(tmp_path: Path):
    folder = tmp_path / "data"
    first = derive(settings(folder), "test")
    secret._of_folder.cache_clear()
    assert derive(settings(folder), "test") == first
    assert [path.name for path in folder.iterdir()] == [FILE]
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert derive(settings(tmp_path / "another"), "test") != first


def test_processes_that_start_at_once_have_the_same(tmp_path: Path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(derive_in_a_process, [tmp_path] * 16))) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"file/secret, cannot be used \(File exists\)"):
        derive(settings(tmp_path / "file"), "test")
