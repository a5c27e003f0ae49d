"""PhantomLink plays a neural recording back as if an implant were live, and does it on time."""

__version__ = "0.1.0"
