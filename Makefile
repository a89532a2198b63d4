# Thin: what each target needs is set up by hack/setup, what it does is in the commands it calls.
BIN := .venv/bin

.PHONY: help setup lab lab-down test sim fmt crds bench

help:
	@echo "make lab       a real cluster in network namespaces, Outgate installed, the examples shown"
	@echo "make lab-down  take it down again"
	@echo "make test      everything that CI runs"
	@echo "make sim       the virtual-IP engine against faults; SEED=<number> replays one schedule"
	@echo "make fmt       format and lint the tree"
	@echo "make crds      write charts/outgate/crds from api/"
	@echo "make bench     the benchmarks; NAME=<one of them> runs it"

setup:
	@hack/setup

lab: setup
	@$(BIN)/outgate-lab demo

lab-down: setup
	@$(BIN)/outgate-lab down

test: setup
	@$(BIN)/tox run

sim: setup
	@PYTHONPATH=tests $(BIN)/python -m sim $(if $(SEED),--seed $(SEED))

fmt: setup
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

crds: setup
	@$(BIN)/outgate crds --write charts/outgate/crds

bench: setup
	@$(BIN)/python -m bench $(NAME)
