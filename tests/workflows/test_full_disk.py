"""A full disk while networks are trained, fine-tuned and converted: one line, no more."""

import shutil
import sys

import pytest

import funlib
from mounts import in_namespace

COMMANDS = """
import gc, os, shlex, subprocess
from asem.cli import main

os.dup2(1, 2)  # in one stream, in the order of the commands

def sh(command):
    subprocess.run(shlex.split(command), check=True)

def run(words):
    print("code", main(words.split()))

for size in ("24k", "136k"):
    sh(f"mount -t tmpfs -o size={size} none small")
    print("size", size)
    run("train train.toml --out small/run")
    sh("mount -o remount,size=9m small")
    print("resumed")
    run("train train.toml --out small/run")
    gc.collect()  # of the trained networks, whose files are mapped
    sh("umount small")
sh("mount -t tmpfs -o size=16k none small")
print("others")
run("finetune run train.toml --out small/tuned")
sh("rm -r small/tuned")
run("models convert published.pt small/model --structure mito --voxel-size 5")
print("left:", os.listdir("small"))
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_resumes(cell, run, tmp_path):
    """All in one process, whose libraries take longer to load than the commands."""
    shutil.copytree(cell, tmp_path, dirs_exist_ok=True)
    (tmp_path / "small").mkdir()
    funlib.save(tmp_path / "published.pt", funlib.random_state(features=8))
    (tmp_path / "commands.py").write_text(COMMANDS)
    done = in_namespace(f"PYTHONUNBUFFERED=1 exec {sys.executable} commands.py", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    assert "internal error of asem" not in done.stdout
    whole, others = done.stdout.split("others\n")
    trainings = whole.split("size ")[1:]
    assert len(trainings) == 2
    for training in trainings:
        before, after = training.split("resumed\n")
        assert "code 2" in before
        (line,) = errors(before)
        assert line.endswith(": No space left on device")
        assert "code 0" in after
        assert not errors(after)
    assert len(errors(others)) == others.count("code 2") == 2
    assert all("No space left on device" in line for line in errors(others))
    assert others.endswith("left: []\n")


def errors(output):
    return [line for line in output.splitlines() if line.startswith("asem: ")]
