"""The search for a design point: the fastest machine within an area, from bounds first and simulations then."""
