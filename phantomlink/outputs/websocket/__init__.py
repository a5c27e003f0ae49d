"""Packets to WebSocket clients."""
