"""When packets are due: clocks, timers, phases, the ticker. Knows no session."""
