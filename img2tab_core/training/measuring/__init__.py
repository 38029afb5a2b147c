"""How the shipped models are measured on real photos, and the cards that say so."""
