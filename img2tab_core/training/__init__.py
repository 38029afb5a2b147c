"""How what is shipped was made and measured: encoders, the bundled population, the cards."""
