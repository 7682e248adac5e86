import stat
from pathlib import Path

import pytest

from backend.errors import SettingsError
from backend.ops import flower
from backend.settings import Environment, Settings


def settings(folder: Path, **values) -> Settings:
    return Settings(data_dir=folder, _env_file=None, **values)


def test_a_password_is_made_once_for_each_data_folder_and_only_this_user_can_read_it(tmp_path: Path):
    user, _, password = flower.login(settings(tmp_path / "a")).partition(":")
    assert (user, len(password) >= 32) == ("admin", True)
    assert flower.login(settings(tmp_path / "a")) == f"{user}:{password}"
    assert flower.login(settings(tmp_path / "b")) != f"{user}:{password}"
    file = tmp_path / "a" / flower.PASSWORD_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == [flower.PASSWORD_FILE]


def test_of_two_that_make_it_at_once_one_counts(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    assert flower.login(settings(tmp_path)) == flower.login(settings(tmp_path))


def test_production_must_name_it(tmp_path: Path):
    production = settings(
        tmp_path,
        environment=Environment.PRODUCTION,
        secret_key="k" * 40,
        database_url="postgresql://sanguine@db/sanguine",
        broker_url="redis://valkey:6379/0",
    )
    with pytest.raises(SettingsError, match="FLOWER_BASIC_AUTH"):
        flower.login(production)
    assert list(tmp_path.iterdir()) == []
