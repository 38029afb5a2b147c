"""How encoders are trained: pairs of pictures and w, what is learned from, and the loops."""
