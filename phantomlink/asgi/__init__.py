"""The server under hypercorn: bridge, guard, lifespan and worker lock."""
