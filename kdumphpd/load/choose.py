# SPDX-License-Identifier: GPL-2.0-or-later
"""Which loader says what is loaded here, and with which methods the image can be loaded."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from kdumphpd import journal
from kdumphpd.config import Config, LoaderChoice
from kdumphpd.kernel.fadump import is_enabled
from kdumphpd.kernel.limits import Limits
from kdumphpd.load import fadump, kexec, loader_lock
from kdumphpd.load.command import KEXEC, KexecCommand, parse
from kdumphpd.load.loader_log import said_since, size
from kdumphpd.load.loaders import Loader, is_in_use, is_installed, kdump_tools, kdumpctl, suse
from kdumphpd.load.method import Kind, Method
from kdumphpd.load.recording import LoaderFailed, Recording
from kdumphpd.load.run import CommandFailed, LoadFailed, NotReady, run_in_unit, run_when_free

log = journal.logger()

DISTRIBUTIONS = {
    LoaderChoice.KDUMPCTL: kdumpctl.LOADER,
    LoaderChoice.SUSE: suse.LOADER,
    LoaderChoice.KDUMP_TOOLS: kdump_tools.LOADER,
}

# A distribution's own reload may find that an initrd is due and build it, which takes minutes, with the old image
# gone already: to end it would mean to begin from zero next time.
OWN_LIMIT = 3600.0  # seconds
UNLOAD_LIMIT = 60.0  # seconds

FADUMP_UNITS = ("kdump.service", "kdump-early.service", "kdump-tools.service")  # one of them registers it at boot


class NoLoader(LoadFailed):
    """Nobody says what is to be loaded, and only an operator can change that."""


def choose(root: Path, config: Config) -> LoaderChoice:
    """The configured loader; with "auto" what is configured here, else the distribution's loader that is in use.

    Raises NoLoader where there is none.
    """
    if config.reload.loader is not LoaderChoice.AUTO:
        return config.reload.loader
    if is_enabled(root):
        return LoaderChoice.FADUMP  # the kernel owns the reserved memory, and nothing else can be loaded
    if config.reload.kexec.kernel:
        return LoaderChoice.KEXEC
    if config.reload.command:
        return LoaderChoice.COMMAND
    for choice, loader in DISTRIBUTIONS.items():
        if is_installed(root, loader) and is_in_use(root, loader):
            return choice
    raise NoLoader(
        "nobody here says what is to be loaded: no kdump service of the distribution is enabled or active. Enable "
        "it, or name a kernel in [reload.kexec] of /etc/kdumphpd.toml"
    )


def units(choice: LoaderChoice) -> tuple[str, ...]:
    """The units that load and unload as well."""
    if choice is LoaderChoice.FADUMP:
        return FADUMP_UNITS
    loader = DISTRIBUTIONS.get(choice)
    return loader.units if loader else ()


def configured_command(config: Config) -> KexecCommand:
    """What [reload.kexec] names. Raises LoadFailed."""
    settings = config.reload.kexec
    if not settings.kernel:
        raise LoadFailed('loader = "kexec" needs the capture kernel: set kernel in [reload.kexec]')
    argv = [KEXEC, "-p", f"--command-line={settings.command_line}"]
    if settings.initrd:
        argv.append(f"--initrd={settings.initrd}")
    try:
        return parse([*argv, settings.kernel])
    except ValueError as error:
        raise LoadFailed(f"[reload.kexec] does not make a kexec command: {error}") from error


def methods(
    root: Path,
    config: Config,
    choice: LoaderChoice,
    limits: Limits,
    recording: Callable[[], Recording],
    append: Callable[[KexecCommand], str],
    *,
    armed: bool,
) -> list[Method]:
    """How the image can be loaded, the best method first. Raises LoadFailed.

    `recording` says what the distribution's loader would run and raises LoadFailed; `append` what is to be added to
    the capture kernel's command line.
    """
    match choice:
        case LoaderChoice.FADUMP:
            return [fadump.method(root)]
        case LoaderChoice.COMMAND:
            return [_own(root, config.reload.command, config.reload.command[:1], None)]
        case LoaderChoice.KEXEC:
            command = configured_command(config)
            return kexec.methods(command, config.reload.syscall, kexec.abilities(root), limits, append(command))
    loader = DISTRIBUTIONS[choice]
    argv = loader.reload if armed else loader.load
    own = _own(root, argv, argv, loader)
    try:
        command = recording().command
    except NotReady:
        if armed:
            raise  # its own reload would take the old image down first
        return [own]
    except LoadFailed as error:
        if armed and isinstance(error, LoaderFailed):
            raise  # it would fail again, once it has taken the old image down
        log.warning(f"{choice} did not say what it would load, so it has to load itself: {error}")
        return [own]
    direct = kexec.methods(command, config.reload.syscall, kexec.abilities(root), limits, append(command))
    # Its own reload is an unload and a load, two calls.
    return direct if limits.calls == 1 else [*direct, own]


def unload(root: Path, choice: LoaderChoice) -> None:
    """Take the image down as the distribution does, or else as kexec does. Raises LoadFailed."""
    if choice is LoaderChoice.FADUMP:
        fadump.unregister(root)
        return
    if loader := DISTRIBUTIONS.get(choice):
        try:
            run_in_unit(loader.unload, OWN_LIMIT, properties=_properties(root, loader))
        except LoadFailed as error:
            log.warning(f"{error}; unloading the image without it")
        else:
            return
    run_when_free([KEXEC, "-p", "-u"], UNLOAD_LIMIT)


def load(root: Path, choice: LoaderChoice) -> None:
    """Have the distribution's loader put an image back where none is loaded. Raises LoadFailed."""
    loader = DISTRIBUTIONS[choice]
    _run_own(root, loader.load, loader, OWN_LIMIT)


def _properties(root: Path, loader: Loader) -> tuple[str, ...]:
    return (*loader.recipe.properties, *loader_lock.properties(root, loader.recipe.lock))


def _own(root: Path, argv: tuple[str, ...], name: tuple[str, ...], loader: Loader | None) -> Method:
    return Method(Kind.DISTRIBUTION, " ".join(name), partial(_run_own, root, argv, loader))


def _run_own(root: Path, argv: tuple[str, ...], loader: Loader | None, _limit: float) -> None:
    properties = _properties(root, loader) if loader else ()
    log = root / loader.log if loader and loader.log else None
    begin = size(log) if log else 0
    try:
        run_in_unit(argv, OWN_LIMIT, properties=properties)
    except LoadFailed as error:
        words = said_since(log, begin) if log else ""
        meaning = loader.recipe.meanings.get(error.status, "") if loader and isinstance(error, CommandFailed) else ""
        if more := "; ".join(filter(None, (meaning, f"/{loader.log} says: {words}" if loader and words else ""))):
            raise LoadFailed(f"{error}; {more}") from error
        raise
