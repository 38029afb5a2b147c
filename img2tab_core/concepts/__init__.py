"""What a channel is worth: Wasserstein-1 between the classes, its scores kept, its names."""
