"""Real coding agents, run through a gateway of this tree against a scripted upstream. See `scripts/agents`."""
