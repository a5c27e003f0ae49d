"""The parts of the soak: what is loaded onto a server, what is sampled, what follows."""
