"""The operating system: files, locks, signals, memory, disk; nothing here concerns images."""
