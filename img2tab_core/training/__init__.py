"""How the shipped weights and the bundled population were made; nothing here runs when the product is used."""
