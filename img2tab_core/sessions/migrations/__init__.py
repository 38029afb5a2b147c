"""How the database of audit sessions came to look as it does, step by step; `database` runs them when it opens one."""
