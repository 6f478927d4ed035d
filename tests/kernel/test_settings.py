"""Settings: where they come from and what a mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest

from thap.kernel.errors import BusyError, SettingsError
from thap.kernel.settings import Settings, load_settings
from thap.kernel.supervisor import lock_data_directory


def test_the_command_line_beats_the_environment_and_that_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thap.toml").write_text('port = 1\nhost = "1.1.1.1"\nmqtt_port = 1\n[journal]\nkeep_hours = 48\n')
    monkeypatch.setenv("THAP_PORT", "2")
    monkeypatch.setenv("THAP_HOST", "2.2.2.2")
    monkeypatch.setenv("THAP_JOURNAL__DURABILITY", "process")
    settings = load_settings(tmp_path, port=3, mqtt_port=None)
    assert (settings.port, settings.host, settings.mqtt_port) == (3, "2.2.2.2", 1)
    assert (settings.journal.keep_hours, settings.journal.durability) == (48, "process")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port = 70000", "setting `port`"),
        ("prot = 1", "setting `prot`"),
        ("port = ", "not valid TOML"),
        ("[journal]\nkeep_hours = 1", "setting `journal.keep_hours`"),
    ],
)
def test_a_mistake_names_file_and_setting(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "thap.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path / "thap.toml") in str(caught.value)


def test_one_centre_to_a_data_directory(settings: Settings) -> None:
    held = lock_data_directory(settings)
    with pytest.raises(BusyError, match="another centre runs"):
        lock_data_directory(settings)
    with lock_data_directory(settings, "vision"), pytest.raises(BusyError, match="another vision runs"):
        lock_data_directory(settings, "vision")
    held.close()
    lock_data_directory(settings).close()
