"""How the bundled table was made: faces rendered, labelled by networks, held against people."""
