"""Records become figures; nothing here knows a visitor or computes a result."""
