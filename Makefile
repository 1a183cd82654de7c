# SPDX-License-Identifier: GPL-2.0-or-later
# `make help` lists the targets. All of them set up what they need; see tests/setup.

PREFIX ?= /usr
DESTDIR ?=
# The distribution's interpreter: pyudev and systemd-python come with it, here as on the machines we are for.
PYTHON ?= /usr/bin/python3
LIBEXEC ?= $(PREFIX)/libexec/kdumphpd
BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
# Debian's folder; Fedora's is $(PREFIX)/share/zsh/site-functions.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/vendor-completions
K ?=
# The user that the listener runs as; Debian's policy wants an underscore first.
LISTENER ?= kdumphpd
# REQUIRE=all: a guest that cannot be built fails the tests, also one that they may do without.
REQUIRE ?=

VENV := build/venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
WITH_PYDANTIC2 := build/pydantic2/.ready
REQUIRED = $(if $(REQUIRE),--require $(REQUIRE))
INSTALL := install -D -m 0644
PURELIB = $(shell $(PYTHON) -c "import sysconfig; s = 'deb_system' if 'deb_system' in sysconfig.get_scheme_names() \
	else 'posix_prefix'; print(sysconfig.get_path('purelib', s, {'base': '$(PREFIX)'}))")

.PHONY: help test lint test-unit test-packaging test-vm test-long bench demo man dist deb piuparts rpm install install-modules \
	install-files clean

help:
	@sed -n 's/^## //p' Makefile

## make demo       the main job, live, in a throwaway virtual machine
demo: $(READY)
	$(RUN) -m tests.vm.demo

## make test       every test: lint, units, real netlink, packages, real kernels; REQUIRE=all: a missing guest is a failure
test: lint test-unit test-packaging test-vm

## make lint       ruff, mypy --strict, shellcheck
lint: $(READY)
	$(RUN) -m ruff check kdumphpd packaging tests
	$(RUN) -m ruff format --check kdumphpd packaging tests
	$(RUN) -m mypy
	shellcheck udev/udev-rules packaging/libexec/record-kexec tests/setup packaging/completions/bash/* packaging/make-dist packaging/rpm/build \
		packaging/debian/kdumphpd.p*rm packaging/debian/kdumphpd.bug-script packaging/debian/tests/service packaging/debian/tests/unit \
		tests/vm/fakes/fedora/kdumpctl tests/vm/fakes/suse/*.sh

## make test-unit  what needs no kernel, real netlink sockets, and whether the documentation is true
test-unit: $(READY) $(WITH_PYDANTIC2)
	$(RUN) -m pytest -m "not long" tests/unit tests/property tests/uevents tests/documentation tests/monitoring
	PYTHONPATH=build/pydantic2 $(RUN) -m pytest -q tests/unit tests/property/test_edges.py --ignore tests/unit/image

## make test-packaging  what the packages hold and do; `make deb` before it has the deb compared too
test-packaging: $(READY)
	$(RUN) -m pytest -m "not long" tests/packaging

## make test-vm    scenarios on real kernels; K=pattern chooses
test-vm: $(READY)
	$(RUN) -m tests.vm prepare $(REQUIRED)
	$(RUN) -m pytest tests/vm -m "not long" -n 2 --dist worksteal -v $(if $(K),-k "$(K)")

# pytest ends with 5 where no scenario is marked so; where K was given, that is a mistake in K.
## make test-long  the repetitions that are too long for every change
test-long: $(READY)
	$(RUN) -m pytest -m long tests/property tests/packaging
	$(RUN) -m tests.vm prepare $(REQUIRED)
	$(RUN) -m pytest tests/vm -m long -n 2 --dist worksteal -v $(if $(K),-k "$(K)",|| [ $$? -eq 5 ])

## make bench      figures into build/bench/results.json
bench: $(READY)
	$(RUN) -m tests.bench

## make man        the page that is made from the configuration's declaration; the others are their own source
man: build/man/kdumphpd.toml.5

build/man/%: packaging/man/%.in packaging/man/keys.py kdumphpd/config.py
	mkdir -p $(@D)
	PYTHONPATH=. $(PYTHON) -B packaging/man/keys.py <$< >$@.$$$$ && mv $@.$$$$ $@

## make dist       build/dist/*.tar.gz, the source archive of a release; equal sources are equal bytes
dist:
	packaging/make-dist build/dist/kdumphpd-$$(sed -n 's/^__version__ = "\(.*\)"$$/\1/p' kdumphpd/__init__.py).tar.gz

## make deb        build/deb/*.deb, built in a clean chroot of Debian 13 and looked at by lintian
deb: $(READY)
	$(RUN) -m tests.vm.deb

## make piuparts   as root: installs, removes and purges the deb in a clean chroot; log in build/piuparts
piuparts: $(READY)
	$(RUN) -m tests.packaging.piuparts

## make rpm        build/rpm/*.rpm, looked at by rpmlint
rpm: $(READY)
	packaging/rpm/build $(CURDIR)/$(RUN)

## make install    DESTDIR= PREFIX=/usr
install: install-modules install-files

install-modules:
	mkdir -p $(DESTDIR)$(PURELIB)
	find kdumphpd -name '*.py' -exec $(INSTALL) {} $(DESTDIR)$(PURELIB)/{} \;

# What is no Python module: the one list of it, for packages too.
install-files: man
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	mkdir -p $(DESTDIR)$(LIBEXEC)
	for command in $(PREFIX)/bin/kdumphpd:listener.daemon $(PREFIX)/bin/kdumphpctl:cli \
		$(LIBEXEC)/helper:helper.request $(LIBEXEC)/check-unit:cli.unit; do \
		script=$(DESTDIR)$${command%:*}; \
		printf '#!%s -I\nfrom kdumphpd.%s import main\n\nmain()\n' /usr/bin/python3 $${command#*:} > $$script; \
		chmod 0755 $$script; \
	done
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/lib/systemd/system systemd/*.service systemd/*.socket \
		systemd/*.path systemd/*.timer
	$(INSTALL) systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/kdumphpd.conf
	sed -i -E 's/^(User=|Group=|SocketUser=|u )kdumphpd\b/\1$(LISTENER)/' $(DESTDIR)$(PREFIX)/lib/sysusers.d/kdumphpd.conf \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/kdumphpd*
	$(INSTALL) systemd/kdumphpd.catalog $(DESTDIR)$(PREFIX)/lib/systemd/catalog/kdumphpd.catalog
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/share/doc/kdumphpd README.md CHANGELOG.md
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/share/doc/kdumphpd/docs docs/*.md docs/*.svg
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/share/man/man8 packaging/man/*.8
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/share/man/man5 build/man/*.5
	$(INSTALL) -t $(DESTDIR)$(BASH_COMPLETIONS) packaging/completions/bash/*
	$(INSTALL) -t $(DESTDIR)$(ZSH_COMPLETIONS) packaging/completions/zsh/*
	$(INSTALL) packaging/kdumphpd.toml $(DESTDIR)$(PREFIX)/lib/kdumphpd/kdumphpd.toml
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/lib/kdumphpd/udev udev/*.rules
	$(INSTALL) -m 0755 -t $(DESTDIR)$(LIBEXEC) udev/udev-rules packaging/libexec/record-kexec
	$(INSTALL) -t $(DESTDIR)$(PREFIX)/share/kdumphpd/monitoring packaging/monitoring/*
	mkdir -p $(DESTDIR)$(PREFIX)/lib/systemd/report.files
	ln -sf /run/kdumphpd-helper/record.json $(DESTDIR)$(PREFIX)/lib/systemd/report.files/kdumphpd
	test -e $(DESTDIR)/etc/kdumphpd.toml || $(INSTALL) packaging/etc.toml $(DESTDIR)/etc/kdumphpd.toml

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
