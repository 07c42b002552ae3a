"""One cache over all processes: memory and the shared cache, purges, single flight in the fleet."""
