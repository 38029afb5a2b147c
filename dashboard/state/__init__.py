"""What a visitor chose and what is kept for them; pages ask here and nowhere else."""
