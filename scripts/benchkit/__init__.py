"""The benchmark kit behind `scripts/bench`: a paced upstream, a load generator, targets, measures and a report.

Nothing here imports the gateway: it is measured from outside, as a process, so the same kit measures a bare
reverse proxy, an older version or another gateway. Linux only (`/proc`, CPU affinity).
"""
