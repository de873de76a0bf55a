# The front door. CMake does the work; this file only says which.
#
# `make demo` and `make test` are each enough on a fresh Debian 12: they install
# the packages that they miss, build, and bring everything else themselves.

# Paths are relative throughout, so the tree may lie under any path.
SHELL := /bin/bash
PYTHON := /usr/bin/python3
PREFIX ?= /usr/local
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := all
.PHONY: all help demo test test-long chaos packages deb install clean

all: ## build slotbelld, slotbellctl and slotbell-plugin into build/
	@tests/lib/packages --check build
	@tests/lib/build release

demo: ## watch bookings arrive in Outlook, from nothing, in about a minute (KEEP=1: stay up afterwards)
	@tests/lib/packages build demo
	@tests/lib/build release
	@$(PYTHON) tests/demo/demo.py $(if $(filter-out 0,$(KEEP)),--keep)

test: ## every test that fits into 20 minutes on 2 cores (STAGES="lint unit": only these)
	@tests/lib/packages build demo test
	@tests/run $(STAGES)

test-long: ## the same with hours instead of minutes where that shows more
	@tests/lib/packages build demo test
	@tests/run --long $(STAGES)

chaos: ## make trouble for MINUTES=30, and see whether anything is lost (SEED=N: as it was planned that time)
	@tests/lib/packages build demo test
	@tests/lib/build release
	@SLOTBELL_BUILD=build $(PYTHON) tests/chaos/chaos.py --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

packages: ## install the Debian packages that the goals above need
	@tests/lib/packages build demo test

deb: ## Debian packages in build/deb/ (VERSION=0.9.1: as that version)
	@tests/lib/packages build
	@config/deb/build $(VERSION)

install: all ## install under PREFIX (/usr/local), below DESTDIR if that is set
	@DESTDIR='$(DESTDIR)' cmake --install build --prefix '$(PREFIX)'

clean: ## remove build/
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 19
