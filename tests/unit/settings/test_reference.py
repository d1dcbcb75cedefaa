import re
from pathlib import Path

from sfu.settings.load import load, paths
from sfu.settings.models import Settings
from sfu.settings.reference import render

FILE = Path(__file__).parents[3] / "config" / "sfu.yaml"


def test_file_is_what_the_models_say() -> None:
    assert FILE.read_text() == render()


def test_file_as_it_is_changes_nothing() -> None:
    assert load(FILE) == Settings()


def test_file_with_every_default_uncommented_changes_nothing(tmp_path: Path) -> None:
    text = re.sub(r"^( *)#(\w+:)", r"\1\2", FILE.read_text(), flags=re.MULTILINE)
    uncommented = tmp_path / "sfu.yaml"
    uncommented.write_text(text)
    assert load(uncommented) == Settings()
    for path in paths():
        assert re.search(rf"^ *{path[-1]}:", text, flags=re.MULTILINE), path
