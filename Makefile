# The two commands are `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup demo up down clean status test check mutation fmt bench-gateway bench-filter bench-provisioner bench-revocation bench-vault
PYTHON := var/venv/bin/python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install system packages (root) and the locked Python packages
	@scripts/setup

demo: setup ## Set everything up, tell the story on real hosts, leave the stack up
	@$(PYTHON) -m demo

up: setup ## Start the stack alone
	@$(PYTHON) -m infra.local up

down: ## Stop every process of the stack, also after a crash; keep its data
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m infra.local down; fi

clean: down ## Stop the stack and remove all that it made (var/)
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m infra.local clean; fi
	@rm -rf var

status: ## Show the stack's processes, URLs and logs
	@$(PYTHON) -m infra.local status

test: setup ## Everything: checks first, then unit, integration, contract, isolation, fault and the whole story
	@scripts/test

check: setup ## Only the fast checks: lint, types, import contracts, migrations, locks
	@scripts/check

mutation: setup ## Take away each protection in turn; the isolation matrix must notice each time
	@SC_MUTANTS=all SC_MUTATION_REPORT=var/mutation.json $(PYTHON) -m pytest -q --show-capture=no tests/isolation/test_mutation.py

fmt: ## Format the code
	@var/venv/bin/ruff format . && var/venv/bin/ruff check --fix .

bench-filter: setup ## What the request filter finds on public attack lists, whom it wrongs, what it costs
	@$(PYTHON) -m bench.filter

bench-gateway: setup ## The gateway's speed beside HAProxy, nginx auth_request, httpx and a direct call
	@scripts/setup bench
	@$(PYTHON) -m bench.gateway

bench-revocation: setup ## How long after authority was taken away the gateways act on it, bus up and down
	@$(PYTHON) -m bench.revocation

bench-vault: setup ## The vault: a large export beside a bare loop, a reveal beside none, a rotation with readers
	@$(PYTHON) -m bench.vault

bench-provisioner: setup ## What the reconciler can carry, and what ten thousand idle servers cost
	@$(PYTHON) -m bench.provisioner
