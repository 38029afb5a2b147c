"""The parts of the page Behind the gap, one file each; they know the visitor, and not each other."""
