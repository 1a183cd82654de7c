# SPDX-License-Identifier: GPL-2.0-or-later
import shlex
import subprocess
from pathlib import Path

import pytest

from kdumphpd.cli import VERBS
from tests.documentation.installed import options, tree

BASH = "usr/share/bash-completion/completions"
ZSH = "usr/share/zsh/vendor-completions"

ASK_BASH = """
COMP_WORDS=({words})
COMP_CWORD=$(({count} - 1))
source {folder}/{command}
$(complete -p {command} | sed 's/.* -F \\([^ ]*\\) .*/\\1/') {command}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# A terminal of zsh's own, in which a key asks what there is for a line: compadd is told every candidate.
ASK_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=({folder} \\$fpath); autoload -U compinit; compinit -u -D
compadd() {{ builtin compadd -O hits \\"\\$@\\"; print -rl -- \\$hits >>{hits}; builtin compadd \\"\\$@\\" }}
ask() {{ LBUFFER='{line}'; zle list-choices; exit }}
zle -N ask; bindkey '^X' ask"
zpty -w -n shell $'\\x18'
while zpty -r shell; do :; done >/dev/null
"""


def bash(line: str) -> set[str]:
    """What bash offers for the last word of `line`, an empty one where it ends in a space."""
    words = line.split(" ")
    script = ASK_BASH.format(words=shlex.join(words), count=len(words), folder=tree() / BASH, command=words[0])
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    return set(done.stdout.split())


def zsh(line: str, folder: Path) -> set[str]:
    hits = folder / "hits"
    script = ASK_ZSH.format(folder=tree() / ZSH, hits=hits, line=line)
    done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, timeout=60, check=True)
    assert not done.stderr
    return set(hits.read_text().split()) if hits.exists() else set()


def long(names: frozenset[str]) -> set[str]:
    return {name for name in names if name.startswith("--")}


def test_bash_offers_every_verb_and_no_other() -> None:
    assert bash("kdumphpctl ") == set(VERBS) | long(options("kdumphpctl"))
    assert bash("kdumphpctl st") == {"status"}
    assert bash("kdumphpctl dance ") == set()


@pytest.mark.parametrize("verb", VERBS)
def test_bash_offers_every_option_of_a_verb_and_no_other(verb: str) -> None:
    assert bash(f"kdumphpctl {verb} ") == long(options("kdumphpctl", verb))


@pytest.mark.parametrize(
    "before", ["-q", "--json", "--no-pager -q", "--json = short", "-n 5", "-n", "-b all", "-b -1"]
)
def test_bash_offers_as_much_after_an_option(before: str) -> None:
    assert bash(f"kdumphpctl {before} ") == set(VERBS) | long(options("kdumphpctl"))
    assert bash(f"kdumphpctl {before} ch") == {"check"}
    assert bash(f"kdumphpctl {before} rearm ") == long(options("kdumphpctl", "rearm"))


def test_bash_knows_a_value_from_a_verb() -> None:
    assert bash("kdumphpctl --since yesterday plot ") == long(options("kdumphpctl", "plot"))
    assert bash("kdumphpctl check --stopped ") == {"ok", "warning", "critical"}
    assert bash("kdumphpctl plot --since ") == set()


def test_bash_offers_every_option_of_the_daemon_and_no_other() -> None:
    assert bash("kdumphpd -") == long(options("kdumphpd"))


def test_zsh_offers_every_verb_and_no_other(tmp_path: Path) -> None:
    assert zsh("kdumphpctl ", tmp_path) == set(VERBS)


def test_zsh_offers_every_option_of_kdumphpctl_and_no_other(tmp_path: Path) -> None:
    assert zsh("kdumphpctl -", tmp_path) == options("kdumphpctl")


@pytest.mark.parametrize("verb", VERBS)
def test_zsh_offers_every_option_of_a_verb_and_no_other(verb: str, tmp_path: Path) -> None:
    assert zsh(f"kdumphpctl {verb} -", tmp_path) == options("kdumphpctl", verb)


def test_zsh_offers_every_option_of_the_daemon_and_no_other(tmp_path: Path) -> None:
    assert zsh("kdumphpd -", tmp_path) == options("kdumphpd")
