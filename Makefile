# `make demo` and `make test` do all the set-up; `make check` is what CI runs before the tests.
PYTHON ?= python3
BIN = .venv/bin
WORKERS ?= 2

.PHONY: demo test screen check licences soak-kills clean

demo: .venv/ready
	$(BIN)/asem demo .demo --overwrite
	@echo 'For the commands above: source $(BIN)/activate'

# Commands that tests start load compiled modules, also where the environment forbids to write them.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/ready screen
	$(BIN)/pytest --numprocesses $(WORKERS)

screen:
	@bash .ci/screen

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Each dependency's licence; fails where the core depends on GPL, AGPL or an unknown one.
licences: .venv/ready
	$(BIN)/python tools/licences.py

# Kills every command at random moments and runs it again; about 25 minutes on two idle cores.
soak-kills: .venv/ready
	$(BIN)/python benchmarks/soak_kills.py

# Modules are compiled when they are first imported: most never are.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv || { echo 'On Debian and Ubuntu: sudo apt-get install python3-venv'; exit 1; }
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]' --constraint constraints.txt
	touch $@

clean:
	rm -rf .venv .demo
