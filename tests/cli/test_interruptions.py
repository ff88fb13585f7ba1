"""Signals to the command and to its Dask workers."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import psutil
import pytest
import tifffile

from asem.cli import app, main
from asem.workflows.importing import import_volume

WORKING = """
import sys, time
from asem.blocks.output_image import OutputImage
from asem.cli import main

def wait(block):
    print("working", flush=True)
    time.sleep(1)

def work_and_wait(output, work, blocks, **options):
    run(output, wait, blocks, **options)

run, OutputImage.run = OutputImage.run, work_and_wait
if __name__ == "__main__":
    sys.exit(main(["clahe", "raw", "out", "--workers", "1"]))
"""


@pytest.fixture
def raw(tmp_path, rng):
    tifffile.imwrite(tmp_path / "s.tif", rng.integers(0, 255, (9, 40, 40)).astype(np.uint8))
    import_volume(tmp_path / "s.tif", tmp_path / "raw", voxel_size=(5.0,) * 3)
    return tmp_path / "raw"


@pytest.mark.parametrize("reached", ["command", "group", "killed"])
def test_no_worker_is_left_behind(raw, tmp_path, reached):
    (tmp_path / "work.py").write_text(WORKING)
    with subprocess.Popen(
        [sys.executable, "work.py"], cwd=tmp_path, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "working\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        if reached == "group":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.send_signal(signal.SIGTERM if reached == "command" else signal.SIGKILL)
        stderr = process.communicate()[1]
    assert process.returncode == (-signal.SIGKILL if reached == "killed" else 143)
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert "Traceback" not in stderr
    if reached != "killed":
        assert stderr.splitlines()[-1].startswith("asem: interrupted; run the same command again")


def test_a_command_in_another_thread_leaves_signals_alone(tmp_path, capsys):
    codes, before = [], signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: codes.append(main(["info", str(tmp_path / "no")])))
    thread.start()
    thread.join()
    assert codes == [2]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_exit_code_says_which_signal(monkeypatch, capsys, number):
    monkeypatch.setattr(app, "build_app", lambda: lambda *_, **__: os.kill(os.getpid(), number))
    assert main([]) == 128 + number
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asem: interrupted; run the same command again")
