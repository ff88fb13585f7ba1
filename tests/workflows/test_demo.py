import json

import pytest

from asem.cli import main


@pytest.mark.slow
def test_the_demo_keeps_its_promise(tmp_path, capsys):
    """The whole main job through the public verbs: F1 >= 0.85 on what the network never saw."""
    folder = tmp_path / "demo"
    assert main(["demo", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["f1"] >= 0.85
    page = (folder / "report.html").read_text()
    assert page.count("<img") == 3
    assert f"{result['f1']:.3f}" in page
    assert len(list((folder / "tiff/segmentation").iterdir())) == 96
    assert main(["demo", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err
