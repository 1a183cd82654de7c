# SPDX-License-Identifier: GPL-2.0-or-later
"""The privileged helper: one request, one process. observe → decide → load → observe → record → answer.

request.py receives the word and answers it, serve.py is the pipeline, and each step has a module of its name.
"""
