"""What clients send on a stream's own socket: taken from its bytes, parsed, handed on. Pure."""
