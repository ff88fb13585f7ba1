"""Operating-system helpers: files, locks, signals, memory, disk; nothing here concerns images."""
