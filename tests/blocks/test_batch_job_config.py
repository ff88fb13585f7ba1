"""The file that configures jobs: the job script made from it, and invalid values."""

import shutil
import subprocess
import sys

import pytest

from asem.blocks.batch_job_config import BatchJobConfig
from asem.blocks.dask_workers import make_jobqueue_cluster
from asem.blocks.open_executor import open_executor
from asem.blocks.tls_credentials import temporary_credentials
from asem.cli import main

MINIMAL = {"system": "slurm", "jobs": 1, "cores": 1, "memory": "1GB"}
JOBS = """
system = "{system}"
jobs = 3
cores = 8
memory = "32GB"
walltime = "{walltime}"
queue = "short"
account = "lab"
before = ["module load python"]
directives = ["--exclusive"]
"""


def script_of(config, folder):
    with (
        temporary_credentials(str(folder)) as security,
        make_jobqueue_cluster(config, security) as jobs,
    ):
        return jobs.job_script()


@pytest.mark.parametrize(
    ("system", "walltime", "lines"),
    [
        ("slurm", "02:00:00", ["#SBATCH -p short", "#SBATCH -A lab", "#SBATCH --cpus-per-task=8"]),
        ("lsf", "02:00", ["#BSUB -q short", '#BSUB -P "lab"', "#BSUB -n 8"]),
    ],
)
def test_jobs_are_described_by_a_short_file(tmp_path, system, walltime, lines):
    path = tmp_path / "jobs.toml"
    path.write_text(JOBS.format(system=system, walltime=walltime))
    script = script_of(BatchJobConfig.from_toml(path), tmp_path)
    for line in [*lines, "module load python", "export NUMBA_NUM_THREADS=8", "--exclusive"]:
        assert line in script, script
    assert "--nthreads 1" in script
    assert "MALLOC_ARENA_MAX=1" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    path.write_text(path.read_text() + "overlap = 3\n")
    assert "--nthreads 3" in script_of(BatchJobConfig.from_toml(path), tmp_path)
    path.write_text(path.read_text() + "color = 1\n")
    with pytest.raises(ValueError, match="unknown key 'color'"):
        BatchJobConfig.from_toml(path)


WORDS = ("account", "queue", "walltime", "interface", "logs")
ATTACKS = (
    "lab\n#SBATCH --uid=0",
    "lab --uid=0",
    "lab; id",
    "$(id)",
    "`id`",
    "'lab'",
    "",
    "-A",
    "a\0b",
)


@pytest.mark.parametrize("key", WORDS)
@pytest.mark.parametrize("value", ATTACKS)
def test_a_word_of_the_job_script_stays_a_word(key, value):
    with pytest.raises(ValueError, match=f"'{key}': only letters, digits and _ .* are allowed"):
        BatchJobConfig.from_dict({**MINIMAL, key: value}, source="jobs.toml")


@pytest.mark.parametrize("key", ["before", "directives"])
@pytest.mark.parametrize("line", ["a\nb", "a\rb", "a\0b", "a\x1b[2J", "a\u2028b", "a\u202eb"])
def test_a_line_of_the_job_script_stays_a_line(key, line):
    with pytest.raises(ValueError, match=f"'{key}.0': a line of the job script contains no"):
        BatchJobConfig.from_dict({**MINIMAL, key: [line]}, source="jobs.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("jobs", 0), ("jobs", 10**9), ("jobs", -1),
        ("cores", 0), ("cores", 10**9),
        ("overlap", 0), ("overlap", 10**9),
        ("memory", "0GB"), ("memory", "1e400GB"), ("memory", "lots"), ("memory", "32GB\n#SBATCH"),
        ("memory", "-1GB"), ("memory", "nan GB"), ("memory", "1" * 400),
        ("wait_minutes", 0), ("wait_minutes", 1e300), ("wait_minutes", float("inf")),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_errors(key, value):
    with pytest.raises(ValueError, match=f"^jobs.toml: '{key}': ") as caught:
        BatchJobConfig.from_dict({**MINIMAL, key: value}, source="jobs.toml")
    assert "\n" not in str(caught.value)


def test_valid_values_are_accepted(tmp_path):
    config = BatchJobConfig.from_dict(
        {
            **MINIMAL,
            "account": "lab_1.a@b+c",
            "queue": "short,long",
            "walltime": "1-02:00:00",
            "interface": "lo",
            "logs": str(tmp_path / "log-files"),
            "before": ["\tmodule load 'python' && export A=\"ü\""],
            "directives": ["--constraint=avx512|avx2", '--comment "my job"'],
            "memory": "1.5 GiB",
        },
        source="jobs.toml",
    )
    script = script_of(config, tmp_path)
    for line in (
        "#SBATCH -A lab_1.a@b+c", "#SBATCH -p short,long", "#SBATCH -t 1-02:00:00",
        "\tmodule load 'python'", '#SBATCH --comment "my job"',
    ):  # fmt: skip
        assert line in script


def test_a_file_with_a_second_line_in_it_submits_nothing(tmp_path, capsys, monkeypatch):
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\ntouch {tmp_path}/submitted\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        'system = "slurm"\njobs = 1\ncores = 1\nmemory = "1GB"\naccount = "lab\\n#SBATCH --uid=0"\n'
    )
    assert main(["mask", str(tmp_path), str(tmp_path / "out"), "--scheduler", str(jobs)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert "'account': only letters" in lines[0]
    assert not (tmp_path / "submitted").exists()
    assert not (tmp_path / "out").exists()


def test_the_job_script_is_in_a_folder_that_only_this_user_can_read(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with (
        temporary_credentials(str(tmp_path)) as security,
        make_jobqueue_cluster(BatchJobConfig(**MINIMAL), security) as cluster,
        cluster._dummy_job.job_file() as path,
    ):
        (folder,) = tmp_path.glob(".asem-tls-*")
        assert path.startswith(f"{folder}/")
        assert folder.stat().st_mode & 0o777 == 0o700


def test_paths_with_spaces_reach_the_shell_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python")
    assert "'/opt/my python/bin/python' -m distributed" in script_of(
        BatchJobConfig(**MINIMAL), tmp_path
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="jobs are shell scripts")
def test_jobs_leave_no_scratch_folder(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(sys, "executable", "true")
    script = script_of(BatchJobConfig(**MINIMAL), tmp_path)
    script = script.replace("true -m", 'ls -d "$DASK_TEMPORARY_DIRECTORY"; true -m')
    done = subprocess.run(
        ["bash"], input=script, capture_output=True, text=True,
        env={"TMPDIR": str(tmp_path / "tmp"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "tmp"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_error_names_a_missing_interface(tmp_path, monkeypatch):
    (tmp_path / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(JOBS.format(system="slurm", walltime="1") + 'interface = "ib9"\n')
    jobs.write_text(jobs.read_text() + f'shared_folder = "{tmp_path}"\n')
    with pytest.raises(OSError, match="'ib9' is not a valid network interface"):
        open_executor(scheduler=str(jobs)).__enter__()


def test_the_error_names_a_missing_jobs_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"jobs\.toml"):
        open_executor(scheduler=str(tmp_path / "jobs.toml")).__enter__()


@pytest.mark.parametrize("logs", ["logs", "./logs", "../logs", "/shared/logs", "a/b"])
def test_folders_for_logs(logs):
    assert BatchJobConfig.from_dict({**MINIMAL, "logs": logs}, source="jobs").logs == logs
