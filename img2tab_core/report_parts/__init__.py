"""The parts of a session's report: what is measured, how it is drawn, how it is said, how it is written as HTML."""
