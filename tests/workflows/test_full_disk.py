"""A full disk while networks are trained, fine-tuned and converted: one line, no more."""

import shutil

import pytest

import funlib
from mounts import ASEM, in_namespace

SCRIPT = """
run() {{ {asem} "$@" 2> errors || echo "code $?"; sed 's/^/err: /' errors | grep -v '%,' || true; }}
for size in 24k 136k; do
    mount -t tmpfs -o size=$size none small
    echo "size $size"
    run train train.toml --out small/run
    mount -o remount,size=9m small
    echo resumed
    run train train.toml --out small/run
    umount small
done
mount -t tmpfs -o size=16k none small
echo others
run finetune run train.toml --out small/tuned
rm -r small/tuned
run models convert published.pt small/model --structure mito --voxel-size 5
ls -A small | sed 's/^/left: /'
"""


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_resumes(cell, run, tmp_path):
    shutil.copytree(cell, tmp_path, dirs_exist_ok=True)
    (tmp_path / "small").mkdir()
    funlib.save(tmp_path / "published.pt", funlib.random_state(features=8))
    done = in_namespace(SCRIPT.format(asem=ASEM), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout
    assert "internal error of asem" not in done.stdout
    whole, others = done.stdout.split("others")
    trainings = whole.split("size ")[1:]
    assert len(trainings) == 2
    for training in trainings:
        before, after = training.split("resumed")
        assert "code 2" in before
        (line,) = [one for one in before.splitlines() if one.startswith("err: asem: ")]
        assert line.endswith(": No space left on device")
        assert "code 2" not in after
        assert "asem: " not in after
    lines = [one for one in others.splitlines() if one.startswith("err: asem: ")]
    assert len(lines) == others.count("code 2") == 2
    assert all("No space left on device" in line for line in lines)
    assert "left: " not in others
