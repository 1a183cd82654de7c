# SPDX-License-Identifier: GPL-2.0-or-later
"""What is loaded: the kdump image read from kernel memory, and the verdict whether it is right.

examine() answers everything at once; inspect() only reads. The parsers below them take bytes or a root path.
"""
