"""Where packets go: WebSocket clients."""
