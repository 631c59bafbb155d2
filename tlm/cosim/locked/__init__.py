"""Hardware inside the simulation, clock by clock: what takes the place of the engines' laws in lock-step."""
