# SPDX-License-Identifier: GPL-2.0-or-later
# `make help` lists the targets. All of them set up what they need; see tests/setup.

PREFIX ?= /usr
DESTDIR ?=
# The distribution's interpreter: pyudev and systemd-python come with it, here as on the machines we are for.
PYTHON ?= /usr/bin/python3
K ?=

VENV := build/venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
WITH_PYDANTIC2 := build/pydantic2/.ready
INSTALL := install -D -m 0644
PURELIB = $(shell $(PYTHON) -c "import sysconfig; s = 'deb_system' if 'deb_system' in sysconfig.get_scheme_names() \
	else 'posix_prefix'; print(sysconfig.get_path('purelib', s, {'base': '$(PREFIX)'}))")

.PHONY: help test lint test-unit test-vm test-long bench demo install clean

help:
	@sed -n 's/^## //p' Makefile

## make demo       the main job, live, in a throwaway virtual machine
demo: $(READY)
	$(RUN) -m tests.vm.demo

## make test       every test: lint, units, real netlink, real kernels
test: lint test-unit test-vm

## make lint       ruff, mypy --strict, shellcheck
lint: $(READY)
	$(RUN) -m ruff check kdumphpd tests
	$(RUN) -m ruff format --check kdumphpd tests
	$(RUN) -m mypy
	shellcheck udev/udev-rules tests/setup

## make test-unit  what needs no kernel, and real netlink sockets
test-unit: $(READY) $(WITH_PYDANTIC2)
	$(RUN) -m pytest tests/unit tests/property tests/uevents
	PYTHONPATH=build/pydantic2 $(RUN) -m pytest -q tests/unit tests/property/test_edges.py --ignore tests/unit/image

## make test-vm    scenarios on real kernels; K=pattern chooses
test-vm: $(READY)
	$(RUN) -m tests.vm prepare
	$(RUN) -m pytest tests/vm -m "not long" -n 2 --dist loadgroup -v $(if $(K),-k "$(K)")

## make test-long  the repetitions that are too long for every change
test-long: $(READY)
	$(RUN) -m tests.vm prepare
	$(RUN) -m pytest tests/vm -m long -n 2 --dist loadgroup -v $(if $(K),-k "$(K)")

## make bench      figures into build/bench/results.json
bench: $(READY)
	$(RUN) -m tests.bench

## make install    DESTDIR= PREFIX=/usr
install:
	mkdir -p $(DESTDIR)$(PURELIB) $(DESTDIR)$(PREFIX)/bin
	find kdumphpd -name '*.py' -exec $(INSTALL) {} $(DESTDIR)$(PURELIB)/{} \;
	for command in kdumphpd:daemon kdumphpctl:cli; do \
		script=$(DESTDIR)$(PREFIX)/bin/$${command%:*}; \
		printf '#!%s -I\nfrom kdumphpd.%s import main\n\nmain()\n' /usr/bin/python3 $${command#*:} > $$script; \
		chmod 0755 $$script; \
	done
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/lib/systemd/system systemd/*.service systemd/*.socket
	$(INSTALL) systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/kdumphpd.conf
	$(INSTALL) systemd/kdumphpd.catalog $(DESTDIR)$(PREFIX)/lib/systemd/catalog/kdumphpd.catalog
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/share/doc/kdumphpd README.md CHANGELOG.md
	$(INSTALL) packaging/kdumphpd.toml $(DESTDIR)$(PREFIX)/lib/kdumphpd/kdumphpd.toml
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/lib/kdumphpd/udev udev/*.rules
	$(INSTALL) -m 0755 -t $(DESTDIR)$(PREFIX)/lib/kdumphpd udev/udev-rules

## make clean      removes build/; cached machine images stay (see CONTRIBUTING.md)
clean:
	rm -rf build

$(READY): pyproject.toml tests/packages.txt tests/setup
	tests/setup
	rm -rf $(VENV)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(PYTHON) -c 'import sys, tomllib; print(*tomllib.load(sys.stdin.buffer)["project"]["optional-dependencies"]["dev"], \
		sep="\n")' < pyproject.toml > $(VENV)/requirements.txt
	$(RUN) -m pip install --quiet --requirement $(VENV)/requirements.txt
	touch $@

# The other pydantic: the distribution's is 1.10 or 2.x, and one source serves both.
$(WITH_PYDANTIC2): $(READY)
	$(RUN) -m pip install --quiet --upgrade --target build/pydantic2 'pydantic>=2,<3'
	touch $@
