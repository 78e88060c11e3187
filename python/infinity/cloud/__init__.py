"""Hosts beyond one machine: the store on PostgreSQL and Aurora DSQL. Nothing here is imported before it is used."""
