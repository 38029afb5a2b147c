"""The neural networks: torch only, no files, styles always an argument."""
