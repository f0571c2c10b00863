"""Runs students' code outside the grader: a jail, a protocol of plain arrays, warm processes.

``inside`` and what it imports (``frames``, ``jail``) run beside students' code; they hold no
reference, no tolerance and no seed.  ``client`` is the trusted side.
"""
